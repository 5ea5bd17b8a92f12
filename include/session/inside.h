/* inside: the parts of a session that its own files share. For session/ only. */
#ifndef DRAWBRIDGE_SESSION_INSIDE_H
#define DRAWBRIDGE_SESSION_INSIDE_H

#include "base/proxy_header.h"
#include "policy/facts.h"
#include "session/session.h"

/* Bytes that grow by need; empty ones hold no memory. */
struct heap {
    uint8_t *at;
    size_t size, room;
};
bool heap_add(struct heap *heap, struct span bytes); /* false: memory is out */
void heap_clear(struct heap *heap);

/* A way of bytes through the session. */
struct relay {
    struct heap held; /* an incomplete packet; packets that wait for the CONNACK */
    size_t need;      /* fewer held bytes than this are not worth a look */
    struct heap owed; /* words of ours for this way's receiver, behind the packet in progress */
};

struct check;   /* a password job */
struct denials; /* what of refusals is in the log and what is only counted */
struct pacing;  /* pacing.c: the rates of a session that has any */

/* What a PROXY protocol header said. */
struct announced {
    struct proxy_ends ends; /* without the path of a Unix socket */
    struct proxy_tls tls;
    struct facts facts; /* the common name of a verified certificate */
    uint8_t texts[];
};

struct session {
    enum session_state state;
    enum session_end end;
    struct session_host *host;
    struct session *next, **previous;
    struct generation *generation; /* kept */
    size_t listener_index;
    unsigned host_number;         /* of its generation's terms; 0: the listener's own */
    struct link *device, *broker; /* NULL before and after */
    unsigned open_count;          /* links and jobs that must finish before the session is freed */
    bool is_crowded, is_started, is_device_waiting;
    struct address address;
    struct address local;        /* where it arrived; size 0: not noted */
    struct heap prelude;         /* what goes to the broker in front of the CONNECT, while it is dialled */
    struct announced *announced; /* NULL: no PROXY protocol header */
    struct guest guest;          /* what it holds in the host's lobby */
    struct hold *hold;           /* one_session_per_certificate; NULL: none */
    struct session *next_shaking, **previous_shaking; /* in shaking_first; previous NULL: not there */
    uint64_t arrived_ms;
    struct inspector inspector;
    struct relay from_device, from_broker;
    struct heap connect; /* the CONNECT as the broker gets it, until it is sent */
    struct heap username, client_id;
    bool has_username;
    uint64_t credential; /* digest of the account that let the device in; 0: none did */
    struct check *check;
    struct denials *denials; /* NULL before the first refusal */
    struct backend_call call;
    uint8_t dial_trouble; /* enum dial_trouble: why the broker could not be reached, or its link broke */
    struct deadline deadline;
    struct pacing *pacing;    /* NULL: no rate */
    struct deadline delay;    /* set: the device is not read, for it has sent too fast */
    bool has_device_finished; /* meanwhile it has closed, behind what is held */
    uint64_t last_heard_ms;   /* from the device */
    uint64_t started_ms;
    const char *refusal;           /* why the CONNECT was refused, for the device; NULL: it was not */
    struct conf_origin refused_by; /* the line of the configuration that did it, for the log; line 0: none */
};

/* Terms in force for this session. */
static inline const struct terms *session_terms(const struct session *session) {
    const struct terms *terms = &session->generation->terms[session->listener_index];
    return session->host_number == 0 ? terms : &terms->hosts[session->host_number - 1];
}

static inline struct span heap_span(const struct heap *heap) {
    return span_of(heap->at, heap->size);
}

/* admit.c: finds the host that the device asked for in the session's generation. */
void session_find_host(struct session *session);
/* Judges the CONNECT and writes what the broker shall get into session->connect. True: go on
 * (perhaps with a password to check: *needs_check). False: refused with *reason. `packet` is the device's
 * own. */
bool session_admit(struct session *session, struct mqtt_connect *connect, struct span packet,
                   bool *needs_check, uint8_t *reason, const char **words);
/* rewrite.c: puts what the broker shall get into session->connect: the packet itself when nothing in it is
 * changed, here (`is_changed`) or for the broker's eyes (terms->identity). False: memory is out. */
bool session_write_connect(struct session *session, const struct mqtt_connect *connect, struct span packet,
                           bool is_changed);
uint64_t session_credential(const struct account *account);
/* Takes on the rules of the generation in force. False: this device may not stay. */
bool session_rebind(struct session *session);
/* The same with everything that follows from it; false: the session has ended. */
bool session_take_terms(struct session *session);

/* recheck.c: may it stay under the generation in force? */
enum session_end session_judge_device(const struct session *session); /* NONE: it may */
bool session_is_known(const struct session *session, const struct terms *terms);

/* guest.c: the session in the host's lobby. */
/* Is a ban on one of the final names of its CONNECT? */
bool session_is_banned(struct session *session, struct span username, struct span client_id);
/* Takes its seats before the broker is dialled. */
enum lobby_answer session_seat(struct session *session);
/* one_session_per_certificate: ends an older one with the same certificate. False: memory is out. */
bool session_take_hold(struct session *session);
void session_drop_hold(struct session *session);
void session_shaken(struct session *session);
void session_leave(struct session *session);
/* Is its end (`end` is set) a failure as ban_after counts them? */
bool session_has_failed(const struct session *session);
/* Counts it when it is, which may ban somebody. */
void session_note_failure(struct session *session);

/* announce.c: the common name of a certificate that the proxy in front has verified; empty: none that may
 * name anybody. */
struct span session_announced_name(const struct session *session);
/* The same for rules; NULL: none. */
const struct facts *session_announced_facts(const struct session *session);
/* Puts the PROXY protocol header that the broker shall get into session->prelude, if it shall get one. False:
 * memory is out. */
bool session_write_prelude(struct session *session);

/* relay.c */
struct link_room relay_room(struct session *session, struct relay *relay);
/* `count` bytes were put into the room. */
void relay_take(struct session *session, struct relay *relay, size_t count);
/* Sends words of ours to the receiver of a way as soon as its stream is at a packet boundary. */
void relay_owe(struct session *session, struct relay *relay, struct span bytes);
/* Judges what is held of the device's way once more. */
void relay_resume(struct session *session);
/* Reads on or stops, by what is pending. */
void relay_balance(struct session *session);

/* pacing.c: takes on the rates of the generation in force. False: memory is out. */
bool session_set_pace(struct session *session);
/* No rate any more; for the end too. */
void session_drop_pace(struct session *session);
/* Around each run of the device's way. */
void session_begin_run(struct session *session);
void session_end_run(struct session *session);
/* The inspector said INSPECT_DELAY; `has_passed`: something left for the broker before. */
void session_on_delay(struct session *session, bool has_passed);
static inline bool session_is_delayed(const struct session *session) {
    return deadline_is_set(&session->delay);
}

/* session.c, called by relay.c */
void session_on_connect(struct session *session, struct mqtt_connect *connect, struct span packet);
void session_on_started(struct session *session);
void session_on_wrong(struct session *session, struct relay *relay);
void session_on_goodbye(struct session *session, struct relay *relay);

/* reply.c: tells the device why, as far as its version has words and its stream is at a boundary. `words` are
 * the Reason String of version 5, where the device wants one and has room for it. */
void session_tell(struct session *session, uint8_t reason, const char *words);
void session_log_end(struct session *session, const char *words);
/* ", u'name'" or nothing. */
const char *session_user_words(const struct session *session, char *room, size_t size);
void session_log_start(struct session *session);
void session_on_refused(void *owner, const struct inspect_refusal *refusal);

/* denials.c: refusals in the log: each at once when it is new, then counted, and the count told once a minute
 * and at the session's end. */
#define DENIALS_WINDOW_MS 60000
/* Different refusals that are kept apart; the rest of a minute is one number. */
#define DENIALS_KEPT_MAX 4
void denials_note(struct session *session, const struct inspect_refusal *refusal);
/* Tells what was only counted so far; for good. */
void denials_end(struct session *session);

#endif
