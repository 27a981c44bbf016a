from importlib.metadata import PackageNotFoundError

import pytest

from parties.errors import ConfigError
from parties.normalise import libraries


def test_what_is_installed_is_the_standard() -> None:
    libraries.check()


@pytest.mark.parametrize("package", libraries.VERSIONS)
def test_another_version(package: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(libraries.VERSIONS, package, "0.0.1")
    with pytest.raises(ConfigError, match=rf"needs {package} 0.0.1, .*pip install {package}==0.0.1"):
        libraries.check()


def test_not_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(package: str) -> str:
        raise PackageNotFoundError(package)

    monkeypatch.setattr(libraries, "version", missing)
    with pytest.raises(ConfigError, match="none is installed"):
        libraries.check()
