BEGIN TRANSACTION;
CREATE TABLE archived (
	"group" TEXT NOT NULL, 
	at BIGINT NOT NULL, 
	"by" TEXT NOT NULL, 
	PRIMARY KEY ("group")
);
INSERT INTO "archived" VALUES('old',1790000000,'admin');
CREATE TABLE event (
	id INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT, 
	at BIGINT NOT NULL, 
	who TEXT NOT NULL, 
	via TEXT NOT NULL, 
	what TEXT NOT NULL, 
	"group" TEXT DEFAULT '' NOT NULL, 
	user TEXT DEFAULT '' NOT NULL, 
	detail TEXT DEFAULT '' NOT NULL
);
INSERT INTO "event" VALUES(1,1790000000,'roster:geo-101.csv','sync','synced','','','{"names": {"put": ["kim in earth/geo-101", "lee in old", "prof-ada in earth/geo-101 (manager)", "sam in earth/geo-101"], "removed": []}, "put": 4, "removed": 0, "source": "roster:geo-101.csv"}');
INSERT INTO "event" VALUES(2,1790000000,'prof-ada','page','put','earth','lee','{"role": "member", "until": 1790194400}');
INSERT INTO "event" VALUES(3,1790000000,'prof-ada','page','put','earth','max','{"role": "member", "until": 1790104400}');
INSERT INTO "event" VALUES(4,1790000000,'admin','page','archived','old','','');
INSERT INTO "event" VALUES(5,1790000000,'idp:oidc','hub','merged','','sam','{"put": ["physics (manual)"], "removed": []}');
CREATE TABLE hub_groups_version (
	version_num VARCHAR(32) NOT NULL, 
	CONSTRAINT hub_groups_version_pkc PRIMARY KEY (version_num)
);
INSERT INTO "hub_groups_version" VALUES('0002');
CREATE TABLE join_link (
	id INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT, 
	code TEXT NOT NULL, 
	"group" TEXT NOT NULL, 
	role TEXT NOT NULL, 
	"by" TEXT NOT NULL, 
	at BIGINT NOT NULL, 
	until BIGINT NOT NULL, 
	most INTEGER, 
	used INTEGER DEFAULT '0' NOT NULL, 
	asks BOOLEAN NOT NULL, 
	member_until BIGINT, 
	revoked_at BIGINT, 
	revoked_by TEXT DEFAULT '' NOT NULL, 
	UNIQUE (code)
);
CREATE TABLE join_request (
	id INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT, 
	link INTEGER NOT NULL, 
	"group" TEXT NOT NULL, 
	user TEXT NOT NULL, 
	at BIGINT NOT NULL, 
	state TEXT NOT NULL, 
	answered_at BIGINT, 
	answered_by TEXT DEFAULT '' NOT NULL, 
	FOREIGN KEY(link) REFERENCES join_link (id)
);
CREATE TABLE leaving (
	user TEXT NOT NULL, 
	"group" TEXT NOT NULL, 
	at BIGINT NOT NULL, 
	PRIMARY KEY (user, "group")
);
CREATE TABLE membership (
	user TEXT NOT NULL, 
	"group" TEXT NOT NULL, 
	source TEXT NOT NULL, 
	role TEXT NOT NULL, 
	since BIGINT NOT NULL, 
	until BIGINT, 
	added_by TEXT DEFAULT '' NOT NULL, 
	PRIMARY KEY (user, "group", source)
)
 WITHOUT ROWID

;
INSERT INTO "membership" VALUES('kim','earth/geo-101','roster:geo-101.csv','member',1790000000,NULL,'');
INSERT INTO "membership" VALUES('lee','earth','manual','member',1790000000,1790194400,'prof-ada');
INSERT INTO "membership" VALUES('lee','old','roster:geo-101.csv','member',1790000000,NULL,'');
INSERT INTO "membership" VALUES('max','earth','manual','member',1790000000,1790104400,'prof-ada');
INSERT INTO "membership" VALUES('prof-ada','earth/geo-101','roster:geo-101.csv','manager',1790000000,NULL,'');
INSERT INTO "membership" VALUES('sam','earth/geo-101','roster:geo-101.csv','member',1790000000,NULL,'');
INSERT INTO "membership" VALUES('sam','physics','manual','member',1790000000,NULL,'');
CREATE TABLE pending (
	user TEXT NOT NULL, 
	"group" TEXT NOT NULL, 
	had BOOLEAN NOT NULL, 
	stamp BIGINT NOT NULL, 
	asleep BOOLEAN DEFAULT 0 NOT NULL, 
	PRIMARY KEY (user, "group")
)
 WITHOUT ROWID

;
INSERT INTO "pending" VALUES('kim','earth/geo-101',0,4412496485253928201,0);
INSERT INTO "pending" VALUES('lee','earth',0,3286722273342974079,0);
INSERT INTO "pending" VALUES('lee','old',0,3241891412367979606,0);
INSERT INTO "pending" VALUES('max','earth',0,3292021919717724443,0);
INSERT INTO "pending" VALUES('prof-ada','earth/geo-101',0,4412496485253928201,0);
INSERT INTO "pending" VALUES('sam','earth/geo-101',0,1778066373244090031,0);
CREATE TABLE rules (
	version INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT, 
	at BIGINT NOT NULL, 
	"by" TEXT NOT NULL, 
	text TEXT NOT NULL
);
CREATE TABLE run (
	source TEXT NOT NULL, 
	at BIGINT NOT NULL, 
	good_at BIGINT, 
	took_ms INTEGER NOT NULL, 
	problem TEXT DEFAULT '' NOT NULL, 
	added INTEGER DEFAULT '0' NOT NULL, 
	removed INTEGER DEFAULT '0' NOT NULL, 
	changed INTEGER DEFAULT '0' NOT NULL, 
	size INTEGER DEFAULT '0' NOT NULL, 
	held TEXT DEFAULT '' NOT NULL, 
	PRIMARY KEY (source)
);
CREATE TABLE scim_group (
	id TEXT NOT NULL, 
	display_name TEXT NOT NULL, 
	name_key TEXT NOT NULL, 
	external_id TEXT, 
	version INTEGER NOT NULL, 
	document TEXT NOT NULL, 
	created BIGINT NOT NULL, 
	modified BIGINT NOT NULL, 
	PRIMARY KEY (id), 
	UNIQUE (name_key)
);
CREATE TABLE scim_member (
	group_id TEXT NOT NULL, 
	user_id TEXT NOT NULL, 
	PRIMARY KEY (group_id, user_id), 
	FOREIGN KEY(group_id) REFERENCES scim_group (id), 
	FOREIGN KEY(user_id) REFERENCES scim_user (id)
)
 WITHOUT ROWID

;
CREATE TABLE scim_token (
	id TEXT NOT NULL, 
	name TEXT NOT NULL, 
	digest TEXT NOT NULL, 
	created BIGINT NOT NULL, 
	used BIGINT, 
	expires BIGINT, 
	PRIMARY KEY (id)
);
CREATE TABLE scim_user (
	id TEXT NOT NULL, 
	user_name TEXT NOT NULL, 
	name_key TEXT NOT NULL, 
	local_key TEXT NOT NULL, 
	external_id TEXT, 
	active BOOLEAN NOT NULL, 
	version INTEGER NOT NULL, 
	document TEXT NOT NULL, 
	created BIGINT NOT NULL, 
	modified BIGINT NOT NULL, 
	PRIMARY KEY (id), 
	UNIQUE (name_key)
);
CREATE INDEX membership_by_source ON membership (source, "group", user, role);
CREATE INDEX membership_by_group ON membership ("group", user);
CREATE INDEX membership_by_end ON membership (until) WHERE until IS NOT NULL;
CREATE INDEX pending_awake ON pending (user) WHERE asleep IS 0;
CREATE INDEX event_by_group ON event ("group", id);
CREATE INDEX event_by_user ON event (user, id);
CREATE INDEX join_link_by_group ON join_link ("group");
CREATE INDEX join_request_by_group ON join_request ("group", state);
CREATE INDEX join_request_by_user ON join_request (user);
CREATE INDEX scim_user_by_external_id ON scim_user (external_id);
CREATE INDEX scim_user_by_local_part ON scim_user (local_key);
CREATE INDEX scim_group_by_external_id ON scim_group (external_id);
CREATE INDEX scim_member_by_user ON scim_member (user_id);
DELETE FROM "sqlite_sequence";
INSERT INTO "sqlite_sequence" VALUES('event',5);
COMMIT;
