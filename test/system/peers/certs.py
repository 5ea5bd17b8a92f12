"""Certificates, made with the openssl command."""
import datetime
import pathlib
import subprocess


def openssl(*arguments, folder=None, stdin=None):
    done = subprocess.run(["openssl", *map(str, arguments)], cwd=folder, input=stdin, capture_output=True, timeout=60)
    assert done.returncode == 0, "openssl %s: %s" % (arguments[0], done.stderr.decode())
    return done.stdout


def _moment(days):
    moment = datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(days=days)
    return moment.strftime("%Y%m%d%H%M%SZ")


class Authority:
    """A CA in a folder of its own. `issue` returns (certificate, key)."""

    def __init__(self, folder, name="Test CA"):
        self.folder = pathlib.Path(folder)
        self.folder.mkdir(parents=True)
        self.crt, self.key, self.crl_path = self.folder / "ca.crt", self.folder / "ca.key", self.folder / "crl.pem"
        (self.folder / "index.txt").touch()
        (self.folder / "ca.cnf").write_text(
            "[ca]\ndefault_ca = it\n[it]\ndatabase = %(f)s/index.txt\nnew_certs_dir = %(f)s\nrand_serial = yes\n"
            "certificate = %(f)s/ca.crt\nprivate_key = %(f)s/ca.key\ndefault_md = sha256\npolicy = any\n"
            "unique_subject = no\nemail_in_dn = no\npreserve = yes\ndefault_crl_days = 30\n"
            "[any]\norganizationName = optional\norganizationalUnitName = optional\ncommonName = optional\n" % {"f": self.folder})
        self._key(self.key)
        openssl("req", "-new", "-x509", "-days", 365, "-key", self.key, "-out", self.crt, "-subj", "/CN=" + name,
                "-addext", "basicConstraints=critical,CA:TRUE", "-addext", "keyUsage=critical,keyCertSign,cRLSign")

    @staticmethod
    def _key(path, is_rsa=False):
        if is_rsa:
            openssl("genrsa", "-out", path, 2048)
        else:
            openssl("ecparam", "-genkey", "-name", "prime256v1", "-noout", "-out", path)

    def issue(self, name, subject=None, san=None, is_rsa=False, from_days=-1, to_days=90, usage="serverAuth"):
        crt, key, csr = (self.folder / (name + end) for end in (".crt", ".key", ".csr"))
        extensions = self.folder / (name + ".ext")
        extensions.write_text("basicConstraints=CA:FALSE\nextendedKeyUsage=%s\n" % usage +
                              ("subjectAltName=%s\n" % san if san else ""))
        self._key(key, is_rsa)
        openssl("req", "-new", "-key", key, "-out", csr, "-subj", subject or "/CN=" + name, "-utf8")
        openssl("ca", "-batch", "-notext", "-config", self.folder / "ca.cnf", "-in", csr, "-out", crt, "-extfile",
                extensions, "-startdate", _moment(from_days), "-enddate", _moment(to_days))
        return crt, key

    def issue_server(self, name="server", **fields):
        fields.setdefault("san", "DNS:localhost,IP:127.0.0.1,IP:::1")
        return self.issue(name, subject="/CN=localhost", **fields)

    def issue_device(self, name, subject=None, **fields):
        return self.issue(name, subject=subject, usage="clientAuth", **fields)

    def revoke(self, name):
        openssl("ca", "-config", self.folder / "ca.cnf", "-revoke", self.folder / (name + ".crt"))

    def write_crl(self, days=30):
        dates = ["-crldays", days] if days > 0 else ["-crl_lastupdate", _moment(-2), "-crl_nextupdate", _moment(days)]
        openssl("ca", "-config", self.folder / "ca.cnf", "-gencrl", "-out", self.crl_path, *dates)
        return self.crl_path
