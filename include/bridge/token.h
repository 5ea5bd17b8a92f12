/* token: when a password ends, for those that say so themselves. Nothing is verified: that is the broker's
 * business. Pure. */
#ifndef DRAWBRIDGE_BRIDGE_TOKEN_H
#define DRAWBRIDGE_BRIDGE_TOKEN_H

#include "base/span.h"

/* Seconds since the epoch; 0: it does not say. Known are
 *
 *   a JSON web token  RFC 7519: three parts of base64url with dots between, of which the middle one is a
 *                     JSON object (RFC 8259) whose own member `exp` is a number (section 4.1.4); what is
 *                     behind its decimal point is cut
 *   a SAS token       of Azure: SharedAccessSignature sr=...&sig=...&se=SECONDS
 */
int64_t token_expiry_s(struct span password);

#endif
