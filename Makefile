# The five commands; CONTRIBUTING.md says how long each takes.
.PHONY: setup demo check test ci

setup:
	uv sync
	uvx pre-commit install

demo:
	uv run medusa-grace demo

check:
	uv run ruff check .
	uv run ruff format --check .
	uv run mypy
	uv run lint-imports

test:
	uv run pytest -q

ci:
	bash .ci/run
