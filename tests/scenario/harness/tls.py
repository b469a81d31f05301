"""Certificates for scripted upstreams, made with the openssl command when a scenario needs them.

One authority per scenario; `ca.pem` is what the gateway is told to trust. Kinds: good (localhost
and 127.0.0.1), expired, wrong-host, self-signed (not from the authority).
"""

import ssl
import subprocess

KINDS = ("good", "expired", "wrong-host", "self-signed")
CA_CONFIG = """
[ca]
default_ca = here
[here]
database = {dir}/index.txt
new_certs_dir = {dir}
rand_serial = yes
certificate = {dir}/ca.pem
private_key = {dir}/ca.key
default_md = sha256
policy = any
[any]
commonName = supplied
"""


def _openssl(*args):
    done = subprocess.run(["openssl", *args], capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"openssl {args[0]}: {done.stderr}")


class Authority:
    """A certificate authority in a folder of its own."""

    def __init__(self, folder):
        self.folder = folder
        folder.mkdir()
        self._self_sign("ca", "Scenario CA", "basicConstraints=critical,CA:TRUE")
        (folder / "index.txt").write_text("")
        (folder / "ca.conf").write_text(CA_CONFIG.format(dir=folder))

    def ca_file(self):
        return self.folder / "ca.pem"

    def _self_sign(self, name, subject, extension):
        _openssl(
            "req",
            "-x509",
            "-newkey",
            "ec",
            "-pkeyopt",
            "ec_paramgen_curve:prime256v1",
            "-nodes",
            "-keyout",
            str(self.folder / f"{name}.key"),
            "-out",
            str(self.folder / f"{name}.pem"),
            "-days",
            "30",
            "-subj",
            f"/CN={subject}",
            "-addext",
            extension,
        )

    def _issue(self, name, names, start, end):
        folder = self.folder
        _openssl(
            "req",
            "-new",
            "-newkey",
            "ec",
            "-pkeyopt",
            "ec_paramgen_curve:prime256v1",
            "-nodes",
            "-keyout",
            str(folder / f"{name}.key"),
            "-out",
            str(folder / f"{name}.csr"),
            "-subj",
            f"/CN={name}",
        )
        (folder / f"{name}.ext").write_text(f"subjectAltName={names}\n")
        _openssl(
            "ca",
            "-batch",
            "-notext",
            "-config",
            str(folder / "ca.conf"),
            "-in",
            str(folder / f"{name}.csr"),
            "-out",
            str(folder / f"{name}.pem"),
            "-extfile",
            str(folder / f"{name}.ext"),
            "-startdate",
            start,
            "-enddate",
            end,
        )

    def context(self, kind):
        """A server context with a certificate of this kind."""
        local = "DNS:localhost,IP:127.0.0.1"
        if not (self.folder / f"{kind}.pem").exists():
            if kind == "self-signed":
                self._self_sign(kind, "localhost", f"subjectAltName={local}")
            elif kind == "wrong-host":
                self._issue(kind, "DNS:elsewhere.example", "20250101000000Z", "20490101000000Z")
            elif kind == "expired":
                self._issue(kind, local, "20200101000000Z", "20210101000000Z")
            else:
                self._issue(kind, local, "20250101000000Z", "20490101000000Z")
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self.folder / f"{kind}.pem", self.folder / f"{kind}.key")
        return context
