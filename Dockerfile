# medusa-grace: API, worker, migrations and doctor in one image; the command says which.
FROM python:3.11-slim AS build
WORKDIR /build
RUN python -m venv --without-pip /venv
COPY requirements.txt .
RUN pip --python /venv/bin/python install --no-cache-dir --no-compile --require-hashes -r requirements.txt
COPY pyproject.toml README.md ./
COPY app app
COPY plugins plugins
COPY workers workers
COPY sql sql
RUN pip --python /venv/bin/python install --no-cache-dir --no-compile --no-deps .

FROM python:3.11-slim
RUN useradd --system --uid 10001 --no-create-home grace
COPY --from=build /venv /venv
ENV PATH=/venv/bin:$PATH PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1
USER 10001
EXPOSE 9100
ENTRYPOINT ["medusa-grace"]
CMD ["serve", "--host", "0.0.0.0", "--port", "9100"]
HEALTHCHECK --interval=10s --timeout=3s --start-period=10s \
    CMD ["python", "-c", "import urllib.request; urllib.request.urlopen('http://127.0.0.1:9100/health/ready', timeout=2)"]
