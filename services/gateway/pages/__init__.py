"""What people see in a browser: the description to browse, and a page for each type of problem. No key.

Everything comes from this gateway: no script, style, font or picture of another host, and nothing inline. The files of
ours are in `files`; Swagger UI's come from a package that the lock file pins.
"""

from typing import Final

SECURITY: Final = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
        "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "Referrer-Policy": "no-referrer",
}
"""data: for the arrows and locks in Swagger UI's own style sheet."""
HTML: Final = "text/html; charset=utf-8"
