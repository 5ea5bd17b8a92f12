# table.awk: makes the table of scripts/bench, on stdout and as JSON.
#
#   awk -F'|' -v facts=TEXT -v json=FILE -v verdicts=FILE -f table.awk RESULTS ROWS
#
# RESULTS: "row proxy round value" per run; value is a number, "failed" or "skipped". ROWS: the chosen lines of the
# table `rows` in scripts/bench. VERDICTS: per row reached, missed, skipped, FAILED, "none" (nothing to judge) or
# "shown" (there is no target).

BEGIN {
    shown_columns = 3
    columns = split("drawbridge haproxy nginx plain", proxy, " ")
}

FILENAME == ARGV[1] {
    split($0, field, " ")
    if (field[4] == "failed" || field[4] == "skipped")
        trouble[field[1], field[2]] = field[4]
    else
        value[field[1], field[2], field[3]] = field[4] + 0
    if (field[3] + 0 > rounds)
        rounds = field[3] + 0
    next
}

FNR == 1 {
    print facts
    print "judged: what is held against the target; for \"better\" the ratio to the better peer of each round, for \"plain\""
    print "the ratio to the same program without acl_file"
    line("row", "unit", "drawbridge", "haproxy", "nginx", "/haproxy", "/nginx", "judged", "target", "result")
    printf("{\n  \"facts\": \"%s\",\n  \"rows\": [", facts) > json
}

{
    row = $1
    split($4, target, " ")
    for (c = 1; c <= columns; c++) {
        bad = trouble[row, proxy[c]]
        middle[c] = bad == "" ? median_of_rounds(row, proxy[c]) : ""
        shown[c] = bad == "failed" ? "FAILED" : bad != "" ? bad : middle[c] == "" ? "-" : figure(middle[c])
        if (bad == "failed")
            failures++
    }
    to_haproxy = ratio(row, "haproxy", "haproxy")
    to_nginx = ratio(row, "nginx", "nginx")
    if (target[1] == "most") {
        wanted = "<=" target[2]
        got = middle[1]
    } else if (target[1] == "haproxy") {
        wanted = "<=" target[2] " haproxy"
        got = to_haproxy
    } else if (target[1] == "plain") {
        wanted = target[2] == "" ? "plain" : "<=" target[2] " plain"
        got = ratio(row, "plain", "plain")
    } else {
        wanted = "<=" target[2] " better"
        got = ratio(row, "haproxy", "nginx")
    }
    result = verdict()
    print result > verdicts
    line(row, $3, shown[1], shown[2], shown[3], two_places(to_haproxy), two_places(to_nginx),
         target[1] == "most" ? (got == "" ? "-" : figure(got)) : two_places(got), wanted, result == "none" || result == "shown" ? "-" : result)
    printf("%s\n    {\"row\": \"%s\", \"unit\": \"%s\", \"what\": \"%s\",\n", (FNR > 1 ? "," : ""), row, $3, $6) > json
    printf("     \"target\": \"%s\", \"result\": \"%s\", ", wanted, result) > json
    printf("\"to_haproxy\": %s, \"to_nginx\": %s,\n", or_null(to_haproxy), or_null(to_nginx)) > json
    printf("     \"judged\": %s, \"median\": {", or_null(got)) > json
    in_json = target[1] == "plain" ? columns : shown_columns
    for (c = 1; c <= in_json; c++)
        printf("%s\"%s\": %s", (c > 1 ? ", " : ""), proxy[c], or_null(middle[c])) > json
    printf("},\n     \"rounds\": {") > json
    for (c = 1; c <= in_json; c++)
        printf("%s\"%s\": [%s]", (c > 1 ? ", " : ""), proxy[c], list_of_rounds(row, proxy[c])) > json
    printf("}}") > json
}

END {
    printf("\n  ]\n}\n") > json
    if (failures > 0)
        print "FAILED" > verdicts
}

function line(row, unit, ours, haproxy, nginx, to_haproxy, to_nginx, judged, target, result) {
    printf("%-19s %-7s %10s %7s %7s %8s %6s %6s  %-14s %s\n", row, unit, ours, haproxy, nginx, to_haproxy, to_nginx,
           judged, target, result)
}

function verdict() {
    if (shown[1] == "FAILED" || shown[1] == "skipped")
        return shown[1]
    if (got == "")
        return "none"
    if (target[2] == "")
        return "shown"
    if (target[1] != "most") # judged as it is shown
        got = sprintf("%.2f", got)
    return got + 0 <= target[2] + 0 ? "reached" : "missed"
}

function median(list, count,    i, j, swap) {
    for (i = 2; i <= count; i++) {
        for (j = i; j > 1 && list[j - 1] > list[j]; j--) {
            swap = list[j]
            list[j] = list[j - 1]
            list[j - 1] = swap
        }
    }
    return count % 2 ? list[(count + 1) / 2] : (list[count / 2] + list[count / 2 + 1]) / 2
}

function median_of_rounds(row, name,    r, n, list) {
    for (r = 1; r <= rounds; r++)
        if ((row, name, r) in value)
            list[++n] = value[row, name, r]
    return n ? median(list, n) : ""
}

# The median of ours through the better of two peers, round by round. "" if there is nothing to compare.
function ratio(row, one, other,    r, n, list, best) {
    if ((row, "drawbridge") in trouble && trouble[row, "drawbridge"] != "")
        return ""
    for (r = 1; r <= rounds; r++) {
        best = ""
        if (is_good(row, one, r))
            best = value[row, one, r]
        if (is_good(row, other, r) && (best == "" || value[row, other, r] < best))
            best = value[row, other, r]
        if (best != "" && is_good(row, "drawbridge", r))
            list[++n] = value[row, "drawbridge", r] / best
    }
    return n ? median(list, n) : ""
}

function is_good(row, name, r) {
    return (row, name, r) in value && trouble[row, name] == "" && value[row, name, r] > 0
}

function list_of_rounds(row, name,    r, text) {
    for (r = 1; r <= rounds; r++)
        if ((row, name, r) in value)
            text = text (text == "" ? "" : ", ") value[row, name, r]
    return text
}

function figure(number) {
    return sprintf(number >= 100 ? "%.0f" : number >= 10 ? "%.1f" : number >= 1 ? "%.2f" : "%.3f", number)
}

function two_places(number) {
    return number == "" ? "-" : sprintf("%.2f", number)
}

function or_null(number) {
    return number == "" ? "null" : number
}
