"""`python -m graphql_api`: serves the API on the loopback interface until a signal ends it."""

import logging

import uvicorn

from graphql_api.app import create_app
from musicfp.settings import Settings

# There are no keys yet, so nobody else may reach it; `limits.LoopbackOnly` refuses them however it is started.
HOST = "127.0.0.1"
# A request that has not been answered by then is cut off.
SHUTDOWN_TIMEOUT_S = 10


def main() -> None:
    """Serve on MUSICFP_API_PORT. On SIGINT or SIGTERM, finish the requests that are running, then end."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s %(message)s")
    # What these say at every question about readiness, /readyz says too.
    logging.getLogger("httpx").setLevel(logging.WARNING)
    logging.getLogger("alembic").setLevel(logging.WARNING)
    settings = Settings.from_env()
    uvicorn.run(
        create_app(settings),
        host=HOST,
        port=settings.api_port,
        timeout_graceful_shutdown=SHUTDOWN_TIMEOUT_S,
        access_log=False,
        server_header=False,
        proxy_headers=False,  # whoever connects is who they are: nothing stands in front
        log_config=None,
    )


if __name__ == "__main__":
    main()
