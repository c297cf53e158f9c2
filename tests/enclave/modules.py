"""Other PKCS#11 modules than SoftHSM2's own: p11-kit's, which hand on to it from this process or from another.

`p11-kit-proxy` loads SoftHSM2 and numbers its slots anew; `p11-kit-client` speaks over a socket to a server that has
loaded it, as the modules of network HSMs do.
"""

import os
import select
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from enclave.softhsm import CONFIGURATION_VARIABLE, write_configuration
from tests.enclave.process import PIN, TOKEN_LABEL, RunningEnclave, SoftHsmToken, secret_on_a_descriptor

_LIBRARIES = (Path("/usr/lib/x86_64-linux-gnu"), Path("/usr/lib/aarch64-linux-gnu"), Path("/usr/lib64"))
START_S_MAX = 30


def library(name: str) -> Path:
    """Where Debian or Fedora put one of p11-kit's modules."""
    found = [directory / name for directory in _LIBRARIES if (directory / name).is_file()]
    assert found, f"{name} is not installed: packages p11-kit and p11-kit-modules"
    return found[0]


def copy_of(token: SoftHsmToken, directory: Path) -> SoftHsmToken:
    """The same token in another place, for a test to spoil."""
    configuration = write_configuration(directory / "softhsm")
    shutil.copytree(tokens_of(token), configuration.parent / "tokens", dirs_exist_ok=True)
    copied = SoftHsmToken(module=token.module, configuration=configuration, directory=directory)
    for place, copy in (
        (token.public_keys, copied.public_keys),
        (token.resolutions, copied.resolutions),
        (token.custodians_home, copied.custodians_home),
    ):
        shutil.copytree(place, copy)
    return copied


def tokens_of(token: SoftHsmToken) -> Path:
    """The directory that is the token."""
    return token.configuration.parent / "tokens"


def printed(token: SoftHsmToken, code: str) -> list[str]:
    """What code prints, line by line, in a process of its own that may load the token's module."""
    done = token.python(code.format(module=token.module))
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


@dataclass(frozen=True)
class ProxiedToken(SoftHsmToken):
    """A SoftHSM2 token behind p11-kit-proxy, configured as p11-kit wants it: a directory with a file a module."""

    @classmethod
    def before(cls, token: SoftHsmToken) -> "ProxiedToken":
        modules = token.directory / "settings" / "pkcs11" / "modules"
        modules.mkdir(parents=True)
        (modules / "softhsm.module").write_text(f"module: {token.module}\n")
        (modules.parent / "pkcs11.conf").write_text("user-config: only\n")
        return cls(library("p11-kit-proxy.so"), token.configuration, token.directory)

    @property
    def environment(self) -> dict[str, str]:
        return {
            "PATH": os.environ["PATH"],
            "XDG_CONFIG_HOME": str(self.directory / "settings"),
            CONFIGURATION_VARIABLE: str(self.configuration),
        }


@dataclass(frozen=True)
class FarToken(SoftHsmToken):
    """A token in another process, which this one's module reaches over a socket."""

    @property
    def address(self) -> Path:
        return self.directory / "hsm.sock"

    @property
    def environment(self) -> dict[str, str]:
        return {"PATH": os.environ["PATH"], "P11_KIT_SERVER_ADDRESS": f"unix:path={self.address}"}

    @contextmanager
    def serving_far(self, enclave_directory: Path) -> Iterator[RunningEnclave]:
        """An enclave on this token, by `tests.enclave.far_enclave`, because of the keys that it lacks."""
        with secret_on_a_descriptor(PIN) as pin_fd:
            command = [sys.executable, "-m", "tests.enclave.far_enclave", str(enclave_directory)]
            process = subprocess.Popen(
                [*command, str(self.module), TOKEN_LABEL, str(pin_fd)],
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
                pass_fds=(pin_fd,),
                env=self.environment,
                cwd=Path(__file__).parents[2],
            )
        with process:
            assert process.stdout is not None
            ready = process.stdout.readline()
            try:
                yield RunningEnclave(process=process, directory=enclave_directory, ready_line=ready)
            finally:
                process.kill()


@dataclass(frozen=True, slots=True)
class HsmServer:
    """`p11-kit server` and the processes that it makes, one a login: the HSM at the other end of the wire."""

    process: subprocess.Popen[str]

    def halt(self) -> None:
        """Answer nothing until `resume`."""
        os.killpg(self.process.pid, signal.SIGSTOP)

    def resume(self) -> None:
        os.killpg(self.process.pid, signal.SIGCONT)

    def kill(self) -> None:
        os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait(timeout=START_S_MAX)


@contextmanager
def hsm_server(token: SoftHsmToken) -> Iterator[tuple[FarToken, HsmServer]]:
    """The token behind a server, and the server."""
    far = FarToken(library("pkcs11/p11-kit-client.so"), token.configuration, token.directory)
    far.address.unlink(missing_ok=True)
    command = ["p11-kit", "server", "--foreground", "--name", str(far.address)]
    with subprocess.Popen(
        [*command, "--provider", str(token.module), "pkcs11:"],
        env=token.environment,
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    ) as process:
        server = HsmServer(process)
        try:
            _wait_until_told(process)
            yield far, server
        finally:
            if process.poll() is None:
                server.kill()


def _wait_until_told(process: subprocess.Popen[str]) -> None:
    """The server says where it is once it listens there."""
    assert process.stdout is not None
    ready, _, _ = select.select([process.stdout], [], [], START_S_MAX)
    assert ready, "the HSM's server does not start"
    assert process.stdout.readline().startswith("P11_KIT_SERVER_ADDRESS=")
