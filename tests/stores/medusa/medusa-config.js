// A real Medusa shop for tests: PostgreSQL at DATABASE_URL, loopback only, everything else in memory.
const { defineConfig } = require('@medusajs/framework/utils');

const anywhere = 'http://127.0.0.1';

module.exports = defineConfig({
  projectConfig: {
    databaseUrl: process.env.DATABASE_URL,
    databaseDriverOptions: { ssl: false, connection: { ssl: false } },
    http: {
      storeCors: anywhere,
      adminCors: anywhere,
      authCors: anywhere,
      jwtSecret: process.env.STORE_SECRET,
      cookieSecret: process.env.STORE_SECRET,
      jwtExpiresIn: process.env.SESSION || '1h',
    },
  },
  admin: { disable: true },
});
