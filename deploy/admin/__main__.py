"""`python -m deploy.admin`, the same as `sluice-admin`."""

from deploy.admin.cli import main

if __name__ == "__main__":
    main()
