/* certificates: which verified certificates may come in: allow_issuer, allow_ou, allow_san, allow_spki. */
#ifndef DRAWBRIDGE_POLICY_CERTIFICATES_H
#define DRAWBRIDGE_POLICY_CERTIFICATES_H

#include "conf/conf.h"
#include "policy/facts.h"

#define KEY_PIN_SIZE 32

struct certificate_rules; /* immutable; kept by its arena */

/* The listener's lines, which must live as long. A pin that is none is an error finding. NULL when there is
 * no line, or after a finding. */
const struct certificate_rules *certificate_rules_compile(struct arena *arena,
                                                          const struct conf_listener *listener,
                                                          struct findings *findings);

struct certificate_verdict {
    bool is_allowed;
    struct conf_origin origin; /* of the last line of the kind that none of matched */
    const char *words;         /* "its certificate ..."; NULL when it is allowed */
};

/* One line of each kind that has any must match. `rules` NULL: everything is allowed. */
struct certificate_verdict certificate_judge(const struct certificate_rules *rules,
                                             const struct facts *facts);

/* SHA-256 in 64 hexadecimal digits, colons between bytes or not, or in base64, with sha256// in front or not.
 */
bool key_pin_read(struct span text, uint8_t pin[KEY_PIN_SIZE]);

#endif
