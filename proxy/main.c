/* drawbridge: an MQTT-over-TLS gate in front of a broker. This file reads the command line, nothing else. */
#include <stdio.h>
#include <string.h>

#include "conf/document.h"
#include "control/explain.h"
#include "control/gate.h"
#include "control/passwd.h"
#include "control/queue_applet.h"

#define DEFAULT_PATH DRAWBRIDGE_SYSCONFDIR "/drawbridge/drawbridge.conf"

static void print_help(FILE *out) {
    fprintf(
        out,
        "Drawbridge %s: an MQTT-over-TLS gate in front of a broker.\n"
        "\n"
        "Usage:\n"
        "  drawbridge [-c FILE] [-v]              run in the foreground, log to stderr\n"
        "  drawbridge [-c FILE] -t                check the configuration: status 0 or 1\n"
        "  drawbridge [-c FILE] explain ...       may a device do that, and which line says so?\n"
        "  drawbridge [-c FILE] explain bridge NAME in|out TOPIC\n"
        "                                         does it cross the bridge, and what is it called there?\n"
        "  drawbridge [-c FILE] queue ...         inspect, export or purge what a bridge keeps on disk\n"
        "  drawbridge passwd [-c] [-b] FILE USER [PASSWORD]\n"
        "  drawbridge passwd -D FILE USER         write or delete a user of a password_file\n"
        "  drawbridge healthcheck ADDRESS:PORT    is the drawbridge with this metrics_listener ready?\n"
        "\n"
        "Options:\n"
        "  -c FILE            the configuration, in mosquitto's dialect (default " DEFAULT_PATH ")\n"
        "  -t, --test-config  read it, load everything it names, tell every error, do not run\n"
        "  -v                 log debug messages too\n"
        "  --help             this text\n"
        "  --version          the versions of drawbridge, libuv and OpenSSL\n"
        "\n"
        "Signals: HUP reloads the configuration, USR1 opens the log file anew, TERM and INT end.\n"
        "Every keyword of the configuration is in drawbridge.conf(5).\n",
        DRAWBRIDGE_VERSION);
}

static int usage(const char *what) {
    fprintf(stderr, "drawbridge: %s\nTry `drawbridge --help`.\n", what);
    return 1;
}

static int document(int argc, char **argv) {
    return argc == 2 && conf_document(argv[1], stdout) == 0
               ? 0
               : usage("document takes reference, conf.5 or drawbridge.8");
}

int main(int argc, char **argv) {
    static const struct {
        const char *name;
        int (*main)(int argc, char **argv);
    } applets[] = {{"passwd", passwd_main}, {"healthcheck", healthcheck_main}, {"document", document}};
    for (size_t i = 0; argc > 1 && i < sizeof applets / sizeof applets[0]; i++)
        if (strcmp(argv[1], applets[i].name) == 0)
            return applets[i].main(argc - 1, argv + 1);

    const char *path = DEFAULT_PATH;
    bool is_test = false, is_verbose = false;
    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "-c") == 0 && i + 1 < argc) {
            path = argv[++i];
        } else if (strcmp(argv[i], "explain") == 0) {
            return explain_main(path, argc - i, argv + i);
        } else if (strcmp(argv[i], "queue") == 0) {
            return queue_main(path, argc - i, argv + i);
        } else if (strcmp(argv[i], "-t") == 0 || strcmp(argv[i], "--test-config") == 0) {
            is_test = true;
        } else if (strcmp(argv[i], "-v") == 0) {
            is_verbose = true;
        } else if (strcmp(argv[i], "--help") == 0 || strcmp(argv[i], "-h") == 0) {
            print_help(stdout);
            return 0;
        } else if (strcmp(argv[i], "--version") == 0) {
            printf("drawbridge %s\nlibuv %s\n%s\n", DRAWBRIDGE_VERSION, uv_version_string(),
                   tls_library_version());
            return 0;
        } else {
            char words[256];
            snprintf(words, sizeof words,
                     strcmp(argv[i], "-c") == 0 ? "%s needs a file" : "unknown argument %s", argv[i]);
            return usage(words);
        }
    }
    return is_test ? gate_test(path) : gate_run(path, is_verbose);
}
