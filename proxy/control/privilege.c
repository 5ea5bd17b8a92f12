#include <errno.h>
#include <grp.h>
#include <pwd.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/log.h"
#include "conf/walk.h"
#include "control/gate.h"

/* Without a `user` line the first of these that exists. mosquitto's default is "mosquitto", and then
 * "nobody". */
static const char *const default_users[] = {"drawbridge", "mosquitto", "nobody"};

void privilege_check(const struct conf *conf, struct findings *findings) {
    const struct conf_origin origin = conf->origins[CONF_user];
    if (origin.line != 0 && getpwnam(conf->user) == NULL)
        findings_add(findings, FINDING_ERROR, origin.file, origin.line,
                     "there is no user %s on this system; make it (useradd --system %s) or name another.",
                     conf->user, conf->user);
}

static const struct passwd *find_user(const struct conf *conf) {
    const struct conf_origin origin = conf->origins[CONF_user];
    if (origin.line != 0)
        return getpwnam(conf->user); /* privilege_check has looked */
    for (size_t i = 0; i < sizeof default_users / sizeof default_users[0]; i++) {
        const struct passwd *user = getpwnam(default_users[i]);
        if (user != NULL)
            return user;
    }
    log_error(
        "Started as root, but none of the users drawbridge, mosquitto and nobody exists: write `user NAME`.");
    return NULL;
}

/* The folder of the queues is made while that is still possible, where only root may write; one that is there
 * stays as it is. */
static void give_queue_dir(const struct conf *conf, const struct passwd *user) {
    if (conf->bridge_count == 0 || mkdir(conf->queue_dir, 0700) < 0)
        return; /* the bridge says what is wrong with it */
    if (chown(conf->queue_dir, user->pw_uid, user->pw_gid) < 0)
        log_error("%s cannot be given to the user %s: %m.", conf->queue_dir, user->pw_name);
}

bool privilege_drop(const struct conf *conf) {
    if (geteuid() != 0)
        return true;
    const struct passwd *user = find_user(conf);
    if (user == NULL)
        return false;
    if (user->pw_uid == 0) {
        log_warning("Running as root, as configured.");
        return true;
    }
    give_queue_dir(conf, user);
    if (initgroups(user->pw_name, user->pw_gid) < 0 || setgid(user->pw_gid) < 0 || setuid(user->pw_uid) < 0) {
        log_error("Cannot become the user %s: %m.", user->pw_name);
        return false;
    }
    if (setuid(0) == 0) {
        log_error("Root's rights came back after they were given up: stopping.");
        return false;
    }
    log_info("Running as the user %s.", user->pw_name);
    return true;
}

static void warn_of(void *keeper, const char *keyword, const char *path) {
    (void)keeper;
    if (access(path, R_OK) == 0)
        return;
    const struct passwd *user = getpwuid(geteuid());
    log_warning(
        "%s %s was read as root, but the user %s cannot read it: a reload will fail. Give it to that user "
        "(chown %s) or write `user root`.",
        keyword == NULL ? "The configuration" : keyword, path, user == NULL ? "we run as" : user->pw_name,
        user == NULL ? "USER" : user->pw_name);
}

void privilege_warn(const struct generation *generation) {
    conf_each_path(generation->conf, warn_of, NULL);
}
