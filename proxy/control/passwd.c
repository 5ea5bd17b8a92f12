#include "control/passwd.h"

#include <errno.h>
#include <getopt.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <termios.h>
#include <unistd.h>

#include "base/text.h"
#include "control/passwd_file.h"
#include "crypto/password.h"

/* MQTT's limit for a password. */
#define PASSWORD_SIZE_MAX 65535

static const char usage[] =
    "Usage: drawbridge passwd [-c] FILE USER            ask for the password\n"
    "       drawbridge passwd [-c] -b FILE USER PASSWORD\n"
    "       drawbridge passwd -D FILE USER\n"
    "\n"
    "Changes a user's line in a password file (password_file), or adds it. The password is asked for twice "
    "on\n"
    "the terminal, or read as one line from standard input when that is no terminal.\n"
    "\n"
    "  -c      create the file; one that exists loses all its users\n"
    "  -b      the password stands on the command line, where others may see it\n"
    "  -D      take the user out of the file\n"
    "  --help  this text\n"
    "\n"
    "The hash is PBKDF2-HMAC-SHA512 ($7$), readable by mosquitto 2.0 and later too. A running drawbridge "
    "reads\n"
    "the file again when it reloads its configuration (SIGHUP).\n";

/* What was asked for. */
struct request {
    bool is_new_file, is_batch, is_removal;
    const char *path, *username, *password; /* password: is_batch only */
};

/* A password in the making; wiped when done. */
struct secret {
    uint8_t bytes[PASSWORD_SIZE_MAX + 1];
    size_t size;
};

static void complain(const char *what) {
    fprintf(stderr, "drawbridge passwd: %s\n", what);
}

static volatile sig_atomic_t caught;

static void on_signal(int number) {
    caught = number;
}

static const int ending_signals[] = {SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGTSTP};
enum { ENDING_SIGNALS = sizeof ending_signals / sizeof ending_signals[0] };

/* Lets the ending signals in while it waits for something to read, and at no other moment: one that came
 * between a look at `caught` and a blocking read would be slept over. */
static ssize_t read_byte(int file, const sigset_t *while_waiting, uint8_t *byte) {
    struct pollfd wait_for = {.fd = file, .events = POLLIN};
    if (while_waiting != NULL && ppoll(&wait_for, 1, NULL, while_waiting) < 0)
        return -1;
    return read(file, byte, 1);
}

/* One line without its end, byte by byte so that nothing behind it is taken. False at the end of input, at a
 * signal, for a line that is too long or holds a NUL byte; *fault says why, NULL for a signal.
 * `while_waiting` is the signal mask to wait with, NULL when no signal is looked for. */
static bool read_line(int file, const sigset_t *while_waiting, struct secret *secret, const char **fault) {
    secret->size = 0;
    *fault = NULL;
    for (;;) {
        uint8_t byte;
        ssize_t got = read_byte(file, while_waiting, &byte);
        if (got < 0 && errno == EINTR && caught == 0)
            continue;
        if (got < 0) {
            *fault = caught != 0 ? NULL : "cannot read the password";
            return false;
        }
        if (got == 0 && secret->size == 0) {
            *fault = "no password came";
            return false;
        }
        if (got == 0 || byte == '\n')
            break;
        if (byte == '\0' || secret->size == sizeof secret->bytes) {
            *fault = byte == '\0' ? "a password may not hold a NUL byte"
                                  : "a password may have 65535 bytes at most";
            return false;
        }
        secret->bytes[secret->size++] = byte;
    }
    if (secret->size != 0 && secret->bytes[secret->size - 1] == '\r')
        secret->size--;
    return true;
}

static bool ask(const char *question, const sigset_t *while_waiting, struct secret *secret,
                const char **fault) {
    fputs(question, stderr);
    fflush(stderr);
    bool is_read = read_line(STDIN_FILENO, while_waiting, secret, fault);
    fputc('\n', stderr);
    return is_read;
}

static bool ask_twice(const sigset_t *while_waiting, struct secret *secret, const char **fault) {
    struct secret *again = malloc(sizeof *again);
    if (again == NULL) {
        *fault = "memory is out";
        return false;
    }
    bool is_good = ask("Password: ", while_waiting, secret, fault) &&
                   ask("The same again: ", while_waiting, again, fault);
    if (is_good && (secret->size != again->size || memcmp(secret->bytes, again->bytes, again->size) != 0)) {
        *fault = "the two passwords differ";
        is_good = false;
    }
    explicit_bzero(again, sizeof *again);
    free(again);
    return is_good;
}

/* Whatever ends the asking, the terminal shows again what is typed. */
static bool ask_terminal(const struct termios *shown, struct secret *secret, const char **fault) {
    struct sigaction before[ENDING_SIGNALS], action = {.sa_handler = on_signal};
    sigset_t ending, mask;
    sigemptyset(&ending);
    for (int i = 0; i < ENDING_SIGNALS; i++)
        sigaddset(&ending, ending_signals[i]);
    caught = 0;
    sigprocmask(SIG_BLOCK, &ending, &mask);
    for (int i = 0; i < ENDING_SIGNALS; i++)
        sigaction(ending_signals[i], &action, &before[i]);
    struct termios hidden = *shown;
    hidden.c_lflag &= ~(tcflag_t)ECHO;
    bool is_good = false;
    *fault = "cannot hide what is typed";
    if (tcsetattr(STDIN_FILENO, TCSAFLUSH, &hidden) == 0)
        is_good = ask_twice(&mask, secret, fault);
    tcsetattr(STDIN_FILENO, TCSAFLUSH, shown);
    for (int i = 0; i < ENDING_SIGNALS; i++)
        sigaction(ending_signals[i], &before[i], NULL);
    if (caught != 0) {
        *fault = NULL;
        is_good = false;
        explicit_bzero(secret, sizeof *secret); /* SIGQUIT writes the memory to a file */
        raise(caught);
    }
    sigprocmask(SIG_SETMASK, &mask, NULL); /* what was raised or came meanwhile ends us here */
    return is_good;
}

static bool get_password(const struct request *request, struct secret *secret) {
    struct termios shown;
    const char *fault = NULL;
    bool is_good;
    if (request->is_batch) {
        size_t size = strlen(request->password);
        is_good = size <= sizeof secret->bytes;
        if (is_good)
            memcpy(secret->bytes, request->password, size);
        secret->size = size;
    } else if (isatty(STDIN_FILENO) && tcgetattr(STDIN_FILENO, &shown) == 0) {
        is_good = ask_terminal(&shown, secret, &fault);
    } else {
        is_good = read_line(STDIN_FILENO, NULL, secret, &fault);
    }
    if (is_good && secret->size == 0)
        fault = "a password may not be empty";
    if (secret->size > PASSWORD_SIZE_MAX)
        fault = "a password may have 65535 bytes at most";
    if (fault != NULL)
        complain(fault);
    return is_good && fault == NULL;
}

static bool make_hash(const struct request *request, char *room, size_t room_size) {
    struct secret *secret = calloc(1, sizeof *secret);
    if (secret == NULL) {
        complain("memory is out");
        return false;
    }
    struct account account = {0};
    bool is_made = get_password(request, secret);
    if (is_made) {
        is_made = password_hash(&account, span_of(secret->bytes, secret->size));
        if (!is_made)
            complain("cannot compute the hash: no random numbers or no memory");
    }
    if (is_made)
        account_write_hash(&account, room, room_size);
    explicit_bzero(secret, sizeof *secret);
    free(secret);
    return is_made;
}

/* 0: go on; 1: wrong, complained of; 2: help was shown. */
static int read_arguments(int argc, char **argv, struct request *request) {
    static const struct option options[] = {{"help", no_argument, NULL, 'h'}, {NULL, 0, NULL, 0}};
    const char *fault = NULL;
    optind = 0; /* getopt starts anew */
    opterr = 0;
    for (int option; (option = getopt_long(argc, argv, "+:cbDh", options, NULL)) != -1;) {
        switch (option) {
        case 'c': request->is_new_file = true; break;
        case 'b': request->is_batch = true; break;
        case 'D': request->is_removal = true; break;
        case 'h': fputs(usage, stdout); return 2;
        default: fault = "there is no such option"; break;
        }
    }
    int wanted = request->is_batch ? 3 : 2, given = argc - optind;
    if (fault == NULL && request->is_removal && (request->is_new_file || request->is_batch))
        fault = "-D goes with neither -c nor -b";
    if (fault == NULL && given < wanted)
        fault = request->is_batch ? "FILE, USER and PASSWORD are wanted" : "FILE and USER are wanted";
    if (fault == NULL && given > wanted)
        fault = !request->is_batch && !request->is_removal && given == 3
                    ? "a password on the command line needs -b"
                    : "too many arguments";
    if (fault != NULL) {
        fprintf(stderr, "drawbridge passwd: %s\n%s", fault, usage);
        return 1;
    }
    request->path = argv[optind];
    request->username = argv[optind + 1];
    request->password = request->is_batch ? argv[optind + 2] : NULL;
    return 0;
}

int passwd_main(int argc, char **argv) {
    struct request request = {0};
    int status = read_arguments(argc, argv, &request);
    if (status != 0)
        return status == 2 ? 0 : 1;
    struct span username = span_of_text(request.username);
    const char *fault = account_username_fault(username);
    if (fault != NULL) {
        char quoted[TEXT_QUOTED_SIZE];
        fprintf(stderr, "drawbridge passwd: \"%s\": a username %s\n",
                text_quote(quoted, sizeof quoted, username), fault);
        return 1;
    }
    char hash[300];
    if (!request.is_removal && !make_hash(&request, hash, sizeof hash))
        return 1;
    const struct passwd_change change = {
        .path = request.path,
        .username = username,
        .hash = request.is_removal ? NULL : hash,
        .is_new_file = request.is_new_file,
    };
    return passwd_file_change(&change, stderr) ? 0 : 1;
}
