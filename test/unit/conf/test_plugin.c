/* mosquitto's plugin lines. */
#include "unit/conf/conf_test.h"

#define ERROR   FINDING_ERROR
#define WARNING FINDING_WARNING

#define ACL  "/usr/lib/mosquitto_acl_file.so"
#define PASS "/usr/lib/mosquitto_password_file.so"

static void known_plugins_become_options(void **state) {
    (void)state;
    struct outcome outcome =
        expect_clean("backend h\nplugin " ACL "\nplugin_opt_acl_file acl\nglobal_plugin " PASS
                     "\nplugin_opt_password_file /pw\nlistener 1\nlistener 2\n");
    for (size_t i = 0; i < 2; i++) {
        assert_string_equal(outcome.conf->listeners[i].acl_file, "etc/acl");
        assert_string_equal(outcome.conf->listeners[i].password_file, "/pw");
        assert_int_equal(outcome.conf->listeners[i].origins[CONF_acl_file].line, 2);
    }
    outcome_clear(&outcome);
    outcome = expect_clean(OPEN "auth_plugin " ACL
                                "\nauth_opt_acl_file acl\nauth_plugin_deny_special_chars true\n");
    assert_string_equal(outcome.conf->listeners[0].acl_file, "etc/acl");
    outcome_clear(&outcome);
}

static void plugins_attach_to_listeners(void **state) {
    (void)state;
    struct outcome outcome = expect_good("per_listener_settings true\nbackend h\nlistener 1\nplugin " PASS
                                         "\nplugin_opt_password_file p\nlistener 2\nallow_anonymous true\n");
    assert_string_equal(outcome.conf->listeners[0].password_file, "etc/p");
    assert_null(outcome.conf->listeners[1].password_file);
    outcome_clear(&outcome);

    outcome = expect_clean(
        "backend h\nallow_anonymous 1\nplugin_load acl " ACL
        "\nplugin_opt_acl_file a\nlistener 1\nplugin_use acl\nlistener 2\nlistener 3\nplugin_use acl\n");
    assert_string_equal(outcome.conf->listeners[0].acl_file, "etc/a");
    assert_null(outcome.conf->listeners[1].acl_file);
    assert_string_equal(outcome.conf->listeners[2].acl_file, "etc/a");
    assert_int_equal(outcome.conf->listeners[2].origins[CONF_acl_file].line, 9);
    outcome_clear(&outcome);
}

static void other_plugins_are_refused(void **state) {
    (void)state;
    static const char *const libraries[] = {"/usr/lib/mosquitto_dynamic_security.so", "/opt/go-auth.so",
                                            "/x/mosquitto_acl_file.so/other.so", "mosquitto_acl_file.so.bak"};
    for (size_t i = 0; i < sizeof libraries / sizeof libraries[0]; i++) {
        char lines[300];
        snprintf(lines, sizeof lines, OPEN "plugin %s\nplugin_opt_x y\nauth_opt_backends z\n", libraries[i]);
        expect_one(lines, ERROR, TEST_PATH ":4: Drawbridge loads no plugins and does not know what ");
    }
    expect_one(OPEN "plugin_load x /opt/other.so\nplugin_use x\n", ERROR, ":4: Drawbridge loads no plugins");
}

static void half_plugins_are_refused(void **state) {
    (void)state;
    expect_one(OPEN "plugin " ACL "\n", ERROR,
               ":4: this plugin has no file to read; add plugin_opt_acl_file FILE");
    expect_one(OPEN "plugin\n", ERROR, ":4: plugin has no value");
    expect_one(OPEN "plugin_opt_acl_file x\n", ERROR, ":4: plugin_opt_acl_file stands before any plugin");
    expect_one(OPEN "plugin " ACL "\nplugin_opt_acl_file a\nplugin_opt_acl_file b\n", ERROR,
               ":6: plugin_opt_acl_file is there twice");
    expect_one(OPEN "plugin " ACL "\nplugin_opt_acl_file a\nplugin_opt_password_file b\n", ERROR,
               ":6: plugin_opt_password_file is not known for the plugin of line 4");
    expect_one(OPEN "acl_file x\nplugin " ACL "\nplugin_opt_acl_file a\n", ERROR,
               ":5: acl_file stands at " TEST_PATH ":4 already");
    expect_one(OPEN "plugin_load a " ACL "\nplugin_opt_acl_file x\n", WARNING,
               ":4: no listener uses this plugin");
    expect_one(OPEN "plugin_use a\n", ERROR, ":4: no plugin named 'a' was loaded");
    expect_one("plugin_load a " ACL "\nplugin_opt_acl_file x\nplugin_use a\n" OPEN, ERROR,
               ":3: plugin_use stands before any listener");
    expect_one(OPEN "plugin_load\n", ERROR, ":4: plugin_load has no value");
    expect_one(OPEN "plugin_load a\n", ERROR, ":4: plugin_load has no value");
    expect_one(OPEN "plugin_load a " ACL "\nplugin_opt_acl_file x\nplugin_use a\nplugin_load a " ACL "\n",
               ERROR, ":7: a plugin named 'a' was loaded at " TEST_PATH ":4 already");
    expect_one("per_listener_settings true\nglobal_plugin " ACL
               "\nplugin_opt_acl_file x\nbackend h\nlistener 1\nallow_anonymous 1\n",
               ERROR, ":2: global_plugin is not possible together with per_listener_settings");
    expect_one("per_listener_settings true\nplugin " ACL
               "\nplugin_opt_acl_file x\nbackend h\nlistener 1\nallow_anonymous 1\n",
               ERROR, ":2: with per_listener_settings true, a plugin belongs to a listener");
    expect_one(OPEN "plugin " ACL "\nplugin_opt_acl_file a\nauth_plugin_deny_special_chars false\n", WARNING,
               ":6: auth_plugin_deny_special_chars false has no effect");
    expect_one(OPEN "auth_plugin_deny_special_chars true\n", ERROR,
               ":4: auth_plugin_deny_special_chars stands before");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(known_plugins_become_options),
        cmocka_unit_test(plugins_attach_to_listeners),
        cmocka_unit_test(other_plugins_are_refused),
        cmocka_unit_test(half_plugins_are_refused),
    };
    return cmocka_run_group_tests_name("conf/plugin", tests, NULL, NULL);
}
