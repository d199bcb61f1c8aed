"""A Kubernetes API server, as far as the agent asks one: a few kinds of objects, as JSON."""

from __future__ import annotations

import json
import os
import ssl
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from .backend import StorageError

ACCOUNT = Path("/var/run/secrets/kubernetes.io/serviceaccount")
"""Where a pod has its token, which the kubelet replaces every hour or so, and what goes with it."""
_PATIENCE_SECONDS = 30
_PAGE = 500
"""Objects in one answer."""
_TRIES, _LONGEST_REST_SECONDS = 5, 10.0
"""When the server has too much to do, it says when to come again."""

Object = Mapping[str, Any]


class KubernetesError(StorageError):
    """What the API server refuses, or that it can't be reached.

    Attributes:
        code: of HTTP; 0 where there was no answer.
        why: in the server's own words.
    """

    def __init__(self, text: str, code: int = 0, why: str = "") -> None:
        super().__init__(text)
        self.code, self.why = code, why


class _NoRedirects(urllib.request.HTTPRedirectHandler):
    """To follow one would send the token to wherever it leads."""

    def redirect_request(self, *_arguments: Any) -> None:
        return None


class Kubernetes:
    """One API server and one namespace.

    Attributes:
        namespace: whose objects are meant.
    """

    def __init__(
        self, url: str | None = None, namespace: str | None = None, account: Path = ACCOUNT
    ) -> None:
        """Args:
        url: of `kubectl proxy`: `http://127.0.0.1:8001`, which takes no token; None for the
            cluster that this pod is in.
        namespace: None for that of this pod.
        account: the folder with the pod's token, certificate and namespace.

        Raises:
            StorageError: this is no pod, or one without a token.
        """
        self._token: Path | None = None
        handlers: list[urllib.request.BaseHandler] = [_NoRedirects()]
        if url is None:
            self._url = _address_of_cluster()
            self._token = account / "token"
            self._auth()
            try:
                context = ssl.create_default_context(cafile=str(account / "ca.crt"))
            except (OSError, ssl.SSLError) as error:
                raise StorageError(f"{account / 'ca.crt'}: no certificate: {error}.") from None
            handlers += [urllib.request.HTTPSHandler(context=context)]
            handlers += [urllib.request.ProxyHandler({})]
        else:
            parts = urllib.parse.urlsplit(url)
            if parts.scheme not in ("http", "https") or not parts.hostname:
                raise StorageError(f"'{url}' is not an address; write http://127.0.0.1:8001.")
            self._url = url.rstrip("/")
        self._opener = urllib.request.build_opener(*handlers)
        self.namespace = namespace or _own_namespace(account)

    def path(self, group: str, plural: str, name: str = "", everywhere: bool = False) -> str:
        """Of a kind of objects, or one of them.

        Args:
            group: with its version: `v1`, `storage.k8s.io/v1`.
            everywhere: whether these are in no namespace.
        """
        start = f"/apis/{group}" if "/" in group else f"/api/{group}"
        where = "" if everywhere else f"/namespaces/{_quoted(self.namespace)}"
        return f"{start}{where}/{plural}" + (f"/{_quoted(name)}" if name else "")

    def list(self, path: str) -> Iterator[dict[str, Any]]:
        """All objects of a kind, page by page.

        Raises:
            KubernetesError
        """
        more = ""
        while True:
            query = urllib.parse.urlencode({"limit": _PAGE, **({"continue": more} if more else {})})
            found = self._ask("GET", f"{path}?{query}")
            yield from found.get("items") or []
            more = (found.get("metadata") or {}).get("continue") or ""
            if not more:
                return

    def get(self, path: str) -> dict[str, Any]:
        """Raises KubernetesError."""
        return self._ask("GET", path)

    def summary(self, node: Object) -> dict[str, Any]:
        """What a node's kubelet has measured.

        A pod asks the kubelet itself, for which it takes the right to `nodes/stats`. By way of the
        API server it would take `nodes/proxy`, with which one can run commands in every pod: that
        is for whoever has `kubectl proxy`.

        Raises:
            KubernetesError
        """
        if self._token is None:
            name = str((node.get("metadata") or {}).get("name"))
            path = self.path("v1", "nodes", name, everywhere=True)
            return self._ask("GET", f"{path}/proxy/stats/summary")
        status = node.get("status") or {}
        addresses = {one.get("type"): one.get("address") for one in status.get("addresses") or []}
        ports = (status.get("daemonEndpoints") or {}).get("kubeletEndpoint") or {}
        host = str(addresses.get("InternalIP") or "")
        if not host:
            raise KubernetesError("it has no address in the cluster")
        return self._ask("GET", "/stats/summary", url=_url(host, ports.get("Port") or 10250))

    def create(self, path: str, body: Object) -> dict[str, Any]:
        """Raises KubernetesError."""
        return self._ask("POST", path, body)

    def patch(self, path: str, change: Object) -> dict[str, Any]:
        """A merge patch. With a `resourceVersion`, of what has not changed since (else 409).

        Raises:
            KubernetesError
        """
        return self._ask("PATCH", path, change)

    def delete(self, path: str) -> None:
        """Raises KubernetesError."""
        self._ask("DELETE", path)

    def _auth(self) -> dict[str, str]:
        if self._token is None:
            return {}
        try:
            return {"Authorization": f"Bearer {self._token.read_text().strip()}"}
        except OSError as error:
            raise StorageError(
                f"{self._token}: {error.strerror}; the pod needs a service account with its token"
                " (automountServiceAccountToken)."
            ) from None

    def _ask(
        self, method: str, path: str, body: Object | None = None, url: str = ""
    ) -> dict[str, Any]:
        """Args:
        url: of whom, if not the API server.
        """
        url = url or self._url
        kind = "application/merge-patch+json" if method == "PATCH" else "application/json"
        data = None if body is None else json.dumps(body).encode()
        for last in (*[False] * (_TRIES - 1), True):
            headers = {
                "Accept": "application/json",
                "Content-Type": kind,
                "User-Agent": "hub-storage-agent",
                **self._auth(),
            }
            request = urllib.request.Request(  # noqa: S310
                url + path, data, headers, method=method
            )
            try:
                with self._opener.open(request, timeout=_PATIENCE_SECONDS) as answer:
                    found: dict[str, Any] = json.loads(answer.read())
                    return found
            except urllib.error.HTTPError as error:
                if error.code == 429 and not last:
                    time.sleep(_rest(error.headers.get("Retry-After", "1")))
                    continue
                why = _words(error)
                text = f"Kubernetes refuses ({error.code}): {why}"
                raise KubernetesError(text, error.code, why) from None
            except (OSError, ValueError) as error:
                why = str(getattr(error, "reason", None) or error)
                raise KubernetesError(f"{url} can't be asked: {why}.") from None
        raise AssertionError("the last try returns or raises")


def _address_of_cluster() -> str:
    host = os.environ.get("KUBERNETES_SERVICE_HOST")
    port = os.environ.get("KUBERNETES_SERVICE_PORT", "443")
    if not host:
        raise StorageError(
            "This is no pod of Kubernetes: run it in one, or beside `kubectl proxy` with"
            " --api http://127.0.0.1:8001 --namespace NAME."
        )
    return _url(host, port)


def _url(host: str, port: str | int) -> str:
    return f"https://{f'[{host}]' if ':' in host else host}:{port}"


def _own_namespace(account: Path) -> str:
    try:
        return (account / "namespace").read_text().strip()
    except OSError:
        raise StorageError("No namespace is known; give --namespace NAME.") from None


def _quoted(name: str) -> str:
    return urllib.parse.quote(name, safe="")


def _rest(seconds: str) -> float:
    return min(float(seconds), _LONGEST_REST_SECONDS) if seconds.isdecimal() else 1.0


def _words(error: urllib.error.HTTPError) -> str:
    """The message of a `Status`, or what else there is."""
    try:
        return str(json.loads(error.read())["message"])
    except (OSError, ValueError, KeyError, TypeError):
        return str(error.reason)
