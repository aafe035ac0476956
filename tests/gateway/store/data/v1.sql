-- Every table of a main database as version 1 of this program made it (commit eb9154d), with a key, an owner,
-- two orders, a broker session and two facts. Made by that program itself; the key is the one in the test.
BEGIN TRANSACTION;
CREATE TABLE api_keys (
	id INTEGER NOT NULL, 
	label VARCHAR NOT NULL, 
	digest BLOB NOT NULL, 
	created_at VARCHAR NOT NULL, 
	revoked_at VARCHAR, 
	PRIMARY KEY (id), 
	UNIQUE (digest)
);
INSERT INTO "api_keys" VALUES(1,'tv',X'7B4BAC068A0E2701C95FADE158CABF5D1953B6EDE04DCD88360C080EDE2CF9D8','2026-11-20T22:41:05.620023+00:00',NULL);
CREATE TABLE broker_sessions (
	generation INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT, 
	broker VARCHAR NOT NULL, 
	sealed BLOB NOT NULL, 
	stored_at VARCHAR NOT NULL
);
INSERT INTO "broker_sessions" VALUES(1,'dhan',X'00017365616C6564','2026-11-20T03:45:00+00:00');
CREATE TABLE instrument_syncs (
	serial INTEGER NOT NULL, 
	at VARCHAR NOT NULL, 
	added INTEGER NOT NULL, 
	changed INTEGER NOT NULL, 
	expired INTEGER NOT NULL, 
	total INTEGER NOT NULL, 
	PRIMARY KEY (serial)
);
CREATE TABLE instruments (
    exchange TEXT NOT NULL, symbol TEXT NOT NULL, token TEXT NOT NULL, broker_exchange TEXT NOT NULL,
    broker_symbol TEXT NOT NULL, name TEXT NOT NULL, instrument_type TEXT NOT NULL, lot_size INTEGER NOT NULL,
    tick_size TEXT NOT NULL, expiry TEXT NOT NULL, strike TEXT NOT NULL, freeze_qty INTEGER NOT NULL,
    feed_token TEXT NOT NULL, display_name TEXT NOT NULL,
    strike_inr REAL NOT NULL, display_key TEXT NOT NULL, haystack TEXT NOT NULL);
CREATE TABLE instruments_expired (
    exchange TEXT NOT NULL, symbol TEXT NOT NULL, token TEXT NOT NULL, broker_exchange TEXT NOT NULL,
    broker_symbol TEXT NOT NULL, name TEXT NOT NULL, instrument_type TEXT NOT NULL, lot_size INTEGER NOT NULL,
    tick_size TEXT NOT NULL, expiry TEXT NOT NULL, strike TEXT NOT NULL, freeze_qty INTEGER NOT NULL,
    feed_token TEXT NOT NULL, display_name TEXT NOT NULL,
    strike_inr REAL NOT NULL, display_key TEXT NOT NULL, haystack TEXT NOT NULL);
CREATE TABLE kv (
	name VARCHAR NOT NULL, 
	value TEXT NOT NULL, 
	PRIMARY KEY (name)
);
INSERT INTO "kv" VALUES('instrument_serial','7');
CREATE TABLE login_attempts (
	id INTEGER NOT NULL, 
	at_ns INTEGER NOT NULL, 
	outcome VARCHAR NOT NULL, 
	PRIMARY KEY (id)
);
INSERT INTO "login_attempts" VALUES(1,5,'ok');
CREATE TABLE meta (name TEXT PRIMARY KEY, value TEXT NOT NULL);
INSERT INTO "meta" VALUES('schema','algo');
INSERT INTO "meta" VALUES('version','1');
INSERT INTO "meta" VALUES('venue','sim');
CREATE TABLE order_events (
	id INTEGER NOT NULL, 
	journal_id INTEGER NOT NULL, 
	kind VARCHAR NOT NULL, 
	at_ns INTEGER NOT NULL, 
	state VARCHAR NOT NULL, 
	filled_quantity INTEGER NOT NULL, 
	average_price VARCHAR NOT NULL, 
	received_ns INTEGER, 
	checked_ns INTEGER, 
	journaled_ns INTEGER, 
	sent_ns INTEGER, 
	acknowledged_ns INTEGER, 
	answered_ns INTEGER, 
	detail TEXT DEFAULT '' NOT NULL, 
	PRIMARY KEY (id), 
	FOREIGN KEY(journal_id) REFERENCES orders (id)
);
INSERT INTO "order_events" VALUES(1,1,'placed',1,'open',0,'0',NULL,NULL,NULL,NULL,NULL,NULL,'');
INSERT INTO "order_events" VALUES(2,2,'placed',2,'open',0,'0',NULL,NULL,NULL,NULL,NULL,NULL,'');
CREATE TABLE orders (
	id INTEGER NOT NULL, 
	tag VARCHAR, 
	client_order_id VARCHAR, 
	fingerprint VARCHAR DEFAULT '' NOT NULL, 
	origin VARCHAR NOT NULL, 
	strategy VARCHAR DEFAULT '' NOT NULL, 
	is_exit INTEGER DEFAULT '0' NOT NULL, 
	created_ns INTEGER NOT NULL, 
	exchange VARCHAR NOT NULL, 
	symbol VARCHAR NOT NULL, 
	action VARCHAR NOT NULL, 
	quantity INTEGER NOT NULL, 
	price_type VARCHAR NOT NULL, 
	product VARCHAR NOT NULL, 
	price VARCHAR NOT NULL, 
	trigger_price VARCHAR NOT NULL, 
	disclosed_quantity INTEGER DEFAULT '0' NOT NULL, 
	state VARCHAR NOT NULL, 
	order_id VARCHAR, 
	filled_quantity INTEGER DEFAULT '0' NOT NULL, 
	average_price VARCHAR DEFAULT '0' NOT NULL, 
	reason TEXT DEFAULT '' NOT NULL, 
	local INTEGER DEFAULT '0' NOT NULL, 
	pending VARCHAR DEFAULT '' NOT NULL, 
	answer TEXT DEFAULT '' NOT NULL, 
	merged_into INTEGER, 
	PRIMARY KEY (id), 
	UNIQUE (tag), 
	UNIQUE (client_order_id)
);
INSERT INTO "orders" VALUES(1,'a1','c1','','ours','',0,1700000000000000001,'NSE','SBIN','BUY',1,'LIMIT','MIS','812.35','0',0,'complete','101',1,'812.3','',0,'','',NULL);
INSERT INTO "orders" VALUES(2,'a2','c2','','ours','',0,1700000000000000002,'NSE','SBIN','BUY',2,'LIMIT','MIS','812.35','0',0,'complete','102',2,'812.3','',0,'','',NULL);
CREATE TABLE users (
	id INTEGER NOT NULL, 
	username VARCHAR NOT NULL, 
	password_hash VARCHAR NOT NULL, 
	created_at VARCHAR NOT NULL, 
	PRIMARY KEY (id), 
	UNIQUE (username)
);
INSERT INTO "users" VALUES(1,'owner','$argon2id$v=19$m=65536,t=3,p=4$/YAPsZisKDy8YMBAHsoyAQ$LelYbbpcLVBN6nl9suTQRSW/P/8AiAWf6qUtqBJHbG0','2026-11-20T22:41:06.552891+00:00');
CREATE INDEX orders_created ON orders (created_ns);
CREATE UNIQUE INDEX orders_order_id ON orders (order_id) WHERE order_id IS NOT NULL;
CREATE INDEX orders_state ON orders (state);
CREATE INDEX order_events_at ON order_events (at_ns);
CREATE INDEX order_events_journal ON order_events (journal_id);
CREATE TRIGGER order_events_no_update BEFORE UPDATE ON order_events BEGIN SELECT RAISE(ABORT, 'order_events is append-only'); END;
CREATE TRIGGER order_events_no_delete BEFORE DELETE ON order_events BEGIN SELECT RAISE(ABORT, 'order_events is append-only'); END;
CREATE UNIQUE INDEX i_key_instruments_18e9e20b88f26bc2 ON instruments (exchange, symbol);
CREATE INDEX i_token_instruments_18e9e20b88f26bc2 ON instruments (broker_exchange, token);
CREATE INDEX i_broker_instruments_18e9e20b88f26bc2 ON instruments (broker_exchange, broker_symbol);
CREATE INDEX i_display_instruments_18e9e20b88f26bc2 ON instruments (display_key) WHERE display_key <> '';
CREATE INDEX i_chain_instruments_18e9e20b88f26bc2 ON instruments (exchange, name, expiry, strike_inr);
CREATE UNIQUE INDEX i_key_instruments_expired_18e9e20b88f85a69 ON instruments_expired (exchange, symbol);
CREATE INDEX i_token_instruments_expired_18e9e20b88f85a69 ON instruments_expired (broker_exchange, token);
CREATE INDEX i_broker_instruments_expired_18e9e20b88f85a69 ON instruments_expired (broker_exchange, broker_symbol);
CREATE INDEX i_display_instruments_expired_18e9e20b88f85a69 ON instruments_expired (display_key) WHERE display_key <> '';
CREATE INDEX i_chain_instruments_expired_18e9e20b88f85a69 ON instruments_expired (exchange, name, expiry, strike_inr);
DELETE FROM "sqlite_sequence";
INSERT INTO "sqlite_sequence" VALUES('broker_sessions',1);
COMMIT;
