// A real Vendure shop for tests: PostgreSQL at DATABASE_URL, loopback only, one country, one way to ship, one to pay.
// Prints "ready" when it serves.
const { bootstrap, Country, DefaultLogger, dummyPaymentHandler, LogLevel, TransactionalConnection } =
  require('@vendure/core');
const { populateInitialData } = require('@vendure/core/cli');

const { DATABASE_URL, PORT, STORE_USER, STORE_PASSWORD, SESSION } = process.env;

const config = {
  apiOptions: { port: Number(PORT), hostname: '127.0.0.1', adminApiPath: 'admin-api', shopApiPath: 'shop-api' },
  authOptions: {
    tokenMethod: ['bearer', 'api-key'],
    requireVerification: false,
    sessionDuration: SESSION || '1h',
    superadminCredentials: { identifier: STORE_USER, password: STORE_PASSWORD },
  },
  dbConnectionOptions: { type: 'postgres', url: DATABASE_URL, synchronize: true, logging: false },
  paymentOptions: { paymentMethodHandlers: [dummyPaymentHandler] },
  logger: new DefaultLogger({ level: LogLevel.Warn, timestamp: false }),
};

const initialData = {
  defaultLanguage: 'en',
  defaultZone: 'Americas',
  countries: [{ name: 'United States', code: 'US', zone: 'Americas' }],
  taxRates: [{ name: 'Standard', percentage: 0 }],
  shippingMethods: [{ name: 'Standard', price: 499 }],
  paymentMethods: [
    {
      name: 'Card',
      handler: { code: dummyPaymentHandler.code, arguments: [{ name: 'automaticSettle', value: 'true' }] },
    },
  ],
  collections: [],
};

async function main() {
  const app = await bootstrap(config);
  if ((await app.get(TransactionalConnection).rawConnection.getRepository(Country).count()) === 0) {
    await populateInitialData(app, initialData);
  }
  console.log('ready');
}

main().catch((error) => {
  console.error(error);
  process.exit(1);
});
