# Two images from one file:
#   docker build --target gateway -t pointsman-gateway .
#   docker build --target engine  -t pointsman-engine .

FROM node:20-bookworm-slim AS base
WORKDIR /app
ENV NODE_ENV=production

FROM base AS build
RUN apt-get update \
  && apt-get install -y --no-install-recommends g++ \
  && rm -rf /var/lib/apt/lists/*
COPY package.json package-lock.json ./
RUN NODE_ENV=development npm ci
COPY tsconfig.json tsconfig.build.json ./
COPY proto proto
COPY scorers scorers
COPY src src
COPY bench bench
RUN npm run build

FROM base AS dependencies
COPY package.json package-lock.json ./
RUN npm ci --omit=dev && npm cache clean --force

# Picker and gateway: no model, no native code but WebAssembly, no compiler.
FROM base AS gateway
COPY --from=dependencies /app/node_modules node_modules
COPY --from=build /app/dist/src dist/src
COPY --from=build /app/dist/scorers dist/scorers
COPY --from=build /app/build/pointsman_simd.wasm build/
COPY package.json ./
COPY proto proto
COPY config/pointsman.schema.json config/
USER node
EXPOSE 8080 9002 9003 9090
HEALTHCHECK --interval=10s --timeout=3s --start-period=5s \
  CMD ["node", "-e", "fetch('http://127.0.0.1:9090/health').then((r) => process.exit(r.ok ? 0 : 1), () => process.exit(1))"]
# The flag: src/commands/v8-settings.ts.
ENTRYPOINT ["node", "--max-semi-space-size=32", "dist/src/commands/main.js"]
CMD ["gateway", "--host", "0.0.0.0"]

# The engine: the same program with its native code. The model is mounted, or the bundled small one.
FROM gateway AS engine
COPY --from=build /app/build/pointsman_native.node build/
COPY config/models config/models
EXPOSE 8000
HEALTHCHECK --interval=10s --timeout=3s --start-period=120s \
  CMD ["node", "-e", "fetch('http://127.0.0.1:8000/health').then((r) => process.exit(r.ok ? 0 : 1), () => process.exit(1))"]
CMD ["engine", "config/models/pointsman-mini", "--host", "0.0.0.0", "--port", "8000"]
