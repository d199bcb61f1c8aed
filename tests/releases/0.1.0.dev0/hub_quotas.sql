BEGIN TRANSACTION;
CREATE TABLE ask (
	id INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT, 
	at BIGINT NOT NULL, 
	user_name TEXT NOT NULL, 
	group_name TEXT NOT NULL, 
	limit_key TEXT NOT NULL, 
	amount TEXT NOT NULL, 
	until TEXT NOT NULL, 
	why TEXT NOT NULL, 
	state TEXT NOT NULL, 
	answered_at BIGINT, 
	answered_by TEXT DEFAULT '' NOT NULL, 
	answer TEXT DEFAULT '' NOT NULL, 
	given TEXT DEFAULT '' NOT NULL, 
	given_until TEXT DEFAULT '' NOT NULL
);
INSERT INTO "ask" VALUES(1,1790036000000000,'sam','earth/geo-101','member.cpu-hours','60 per 7d','2026-12-01','a thesis','open',NULL,'','','','');
CREATE TABLE correction (
	id INTEGER NOT NULL, 
	subject INTEGER NOT NULL, 
	at BIGINT NOT NULL, 
	resource TEXT NOT NULL, 
	amount TEXT NOT NULL, 
	who TEXT NOT NULL, 
	why TEXT NOT NULL, 
	PRIMARY KEY (id), 
	FOREIGN KEY(subject) REFERENCES subject (id)
);
INSERT INTO "correction" VALUES(1,5,1790036000000000,'cpu','3600000000','admin','an outage');
CREATE TABLE delivery (
	notice INTEGER NOT NULL, 
	channel TEXT NOT NULL, 
	address TEXT NOT NULL, 
	attempts INTEGER DEFAULT '0' NOT NULL, 
	next_at BIGINT NOT NULL, 
	sent_at BIGINT, 
	PRIMARY KEY (notice, channel, address), 
	FOREIGN KEY(notice) REFERENCES notice (id)
);
CREATE TABLE hub_quotas_version (
	version_num VARCHAR(32) NOT NULL, 
	CONSTRAINT hub_quotas_version_pkc PRIMARY KEY (version_num)
);
INSERT INTO "hub_quotas_version" VALUES('0005');
CREATE TABLE lease (
	name TEXT NOT NULL, 
	holder TEXT NOT NULL, 
	until BIGINT NOT NULL, 
	PRIMARY KEY (name)
);
CREATE TABLE meta (
	"key" TEXT NOT NULL, 
	value TEXT NOT NULL, 
	PRIMARY KEY ("key")
);
CREATE TABLE notice (
	id INTEGER NOT NULL, 
	stem TEXT NOT NULL, 
	at BIGINT NOT NULL, 
	kind TEXT NOT NULL, 
	user_name TEXT NOT NULL, 
	group_name TEXT NOT NULL, 
	text TEXT NOT NULL, 
	over_at BIGINT, 
	PRIMARY KEY (id)
);
CREATE TABLE overlay (
	id INTEGER NOT NULL, 
	subject INTEGER NOT NULL, 
	since BIGINT NOT NULL, 
	until BIGINT NOT NULL, 
	rates TEXT NOT NULL, 
	session TEXT NOT NULL, 
	PRIMARY KEY (id), 
	FOREIGN KEY(subject) REFERENCES subject (id)
);
CREATE TABLE person (
	hub TEXT NOT NULL, 
	number INTEGER NOT NULL, 
	user_name TEXT NOT NULL, 
	PRIMARY KEY (hub, number)
);
CREATE TABLE point (
	subject INTEGER NOT NULL, 
	at BIGINT NOT NULL, 
	state TEXT NOT NULL, 
	PRIMARY KEY (subject, at), 
	FOREIGN KEY(subject) REFERENCES subject (id)
)
 WITHOUT ROWID

;
INSERT INTO "point" VALUES(1,1790000000000000,'[0,1000,0,4294967296,0,1,0,0,0,60000]');
INSERT INTO "point" VALUES(1,1790018000000000,'[18000000000000,0,77309411328000000000,0,18000000000,0,0,0,1080000000000000,0]');
INSERT INTO "point" VALUES(1,1790028800000000,'[18000000000000,1000,77309411328000000000,4294967296,18000000000,1,0,1,1080000000000000,60000]');
INSERT INTO "point" VALUES(2,1790000000000000,'[0,1000,0,4294967296,0,1,0,0,0,60000]');
INSERT INTO "point" VALUES(2,1790018000000000,'[18000000000000,1000,77309411328000000000,4294967296,18000000000,1,0,0,1080000000000000,60000]');
INSERT INTO "point" VALUES(2,1790028800000000,'[28800000000000,1000,123695058124800000000,4294967296,28800000000,1,0,1,1728000000000000,60000]');
INSERT INTO "point" VALUES(2,1790032400000000,'[32400000000000,2000,139156940390400000000,8589934592,32400000000,2,3600000000,1,1944000000000000,120000]');
INSERT INTO "point" VALUES(2,1790034200000000,'[36000000000000,1000,154618822656000000000,4294967296,36000000000,1,5400000000,1,2160000000000000,60000]');
INSERT INTO "point" VALUES(3,1790000000000000,'[0,1000,0,4294967296,0,1,0,0,0,60000]');
INSERT INTO "point" VALUES(3,1790018000000000,'[18000000000000,1000,77309411328000000000,4294967296,18000000000,1,0,0,1080000000000000,60000]');
INSERT INTO "point" VALUES(3,1790028800000000,'[28800000000000,1000,123695058124800000000,4294967296,28800000000,1,0,1,1728000000000000,60000]');
INSERT INTO "point" VALUES(3,1790032400000000,'[32400000000000,2000,139156940390400000000,8589934592,32400000000,2,3600000000,1,1944000000000000,120000]');
INSERT INTO "point" VALUES(3,1790034200000000,'[36000000000000,1000,154618822656000000000,4294967296,36000000000,1,5400000000,1,2160000000000000,60000]');
INSERT INTO "point" VALUES(4,1790000000000000,'[0,1000,0,4294967296,0,1,0,0,0,60000]');
INSERT INTO "point" VALUES(4,1790018000000000,'[18000000000000,1000,77309411328000000000,4294967296,18000000000,1,0,0,1080000000000000,60000]');
INSERT INTO "point" VALUES(4,1790028800000000,'[28800000000000,1000,123695058124800000000,4294967296,28800000000,1,0,1,1728000000000000,60000]');
INSERT INTO "point" VALUES(5,1790018000000000,'[0,1000,0,4294967296,0,1,0,0,0,60000]');
INSERT INTO "point" VALUES(5,1790028800000000,'[10800000000000,0,46385646796800000000,0,10800000000,0,0,0,648000000000000,0]');
INSERT INTO "point" VALUES(5,1790036000000000,'[10796400000000,0,46385646796800000000,0,10800000000,0,0,0,648000000000000,0]');
INSERT INTO "point" VALUES(6,1790032400000000,'[0,1000,0,4294967296,0,1,0,0,0,60000]');
INSERT INTO "point" VALUES(6,1790034200000000,'[1800000000000,0,7730941132800000000,0,1800000000,0,0,0,108000000000000,0]');
CREATE TABLE policy_entry (
	version INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT, 
	kind TEXT NOT NULL, 
	name TEXT NOT NULL, 
	document TEXT, 
	at BIGINT NOT NULL, 
	who TEXT NOT NULL, 
	via TEXT NOT NULL, 
	why TEXT DEFAULT '' NOT NULL
, source TEXT DEFAULT '' NOT NULL, address TEXT DEFAULT '' NOT NULL);
INSERT INTO "policy_entry" VALUES(1,'group','earth','{"limits": {"group.cost": "2000 per month", "group.memory": "64G"}}',1790000000000000,'admin','page','','','');
INSERT INTO "policy_entry" VALUES(2,'group','earth/geo-101','{"plan": "small", "managers": ["prof-ada"], "limits": {"member.storage": "10G", "server.memory": "8G"}, "boosts": [{"limit": "member.cpu-hours", "amount": "80 per 7d", "until": "2026-12-18", "member": "kim", "why": "thesis"}]}',1790000000000000,'admin','page','','','');
INSERT INTO "policy_entry" VALUES(3,'plan','small','{"limits": {"member.cpu-hours": "40 per 7d", "member.servers": "1"}}',1790000000000000,'admin','page','','','');
INSERT INTO "policy_entry" VALUES(4,'prices','','[{"since": "2026-01-01", "cpu": "0.04", "memory": "0.005"}]',1790000000000000,'admin','page','','','');
CREATE TABLE refusal (
	id TEXT NOT NULL, 
	at BIGINT NOT NULL, 
	hub TEXT NOT NULL, 
	user_name TEXT NOT NULL, 
	server_name TEXT NOT NULL, 
	code TEXT NOT NULL, 
	why TEXT DEFAULT '' NOT NULL, 
	PRIMARY KEY (id)
)
 WITHOUT ROWID

;
CREATE TABLE resource (
	position INTEGER NOT NULL, 
	name TEXT NOT NULL, 
	PRIMARY KEY (position), 
	UNIQUE (name)
);
INSERT INTO "resource" VALUES(0,'cpu');
INSERT INTO "resource" VALUES(1,'memory');
INSERT INTO "resource" VALUES(2,'servers');
INSERT INTO "resource" VALUES(3,'gpu');
INSERT INTO "resource" VALUES(4,'cost');
CREATE TABLE session (
	id TEXT NOT NULL, 
	hub TEXT NOT NULL, 
	user_name TEXT NOT NULL, 
	server_name TEXT NOT NULL, 
	group_name TEXT NOT NULL, 
	path TEXT NOT NULL, 
	state TEXT NOT NULL, 
	charges TEXT NOT NULL, 
	reserved_at BIGINT NOT NULL, 
	started_at BIGINT, 
	seen_at BIGINT NOT NULL, 
	closed_at BIGINT, 
	reason TEXT, used_at BIGINT DEFAULT '0' NOT NULL, profile TEXT DEFAULT '' NOT NULL, 
	PRIMARY KEY (id)
)
 WITHOUT ROWID

;
INSERT INTO "session" VALUES('s1','hub','sam','','earth/geo-101','["earth/geo-101","earth","*"]','closed','[[1790000000000000,[1,4,3,2],{"servers":1,"cpu":1000,"memory":4294967296,"cost":60000}]]',1790000000000000,1790000000000000,1790000000000000,1790018000000000,'stopped',0,'small');
INSERT INTO "session" VALUES('s2','hub','kim','','earth/geo-101','["earth/geo-101","earth","*"]','closed','[[1790018000000000,[5,4,3,2],{"servers":1,"cpu":1000,"memory":4294967296,"cost":60000}]]',1790018000000000,1790018000000000,1790018000000000,1790028800000000,'stopped',0,'small');
INSERT INTO "session" VALUES('s3','hub','sam','','earth/geo-101','["earth/geo-101","earth","*"]','running','[[1790028800000000,[1,4,3,2],{"servers":1,"cpu":1000,"memory":4294967296,"gpu":1,"cost":60000}]]',1790028800000000,1790028800000000,1790028800000000,NULL,NULL,0,'');
INSERT INTO "session" VALUES('s5','hub','lee','','earth','["earth","*"]','closed','[[1790032400000000,[6,3,2],{"servers":1,"cpu":1000,"memory":4294967296,"cost":60000}]]',1790032400000000,NULL,1790032400000000,1790034200000000,'gone',0,'');
CREATE TABLE stop_order (
	session TEXT NOT NULL, 
	at BIGINT NOT NULL, 
	why TEXT NOT NULL, 
	PRIMARY KEY (session), 
	FOREIGN KEY(session) REFERENCES session (id)
);
CREATE TABLE storage_charge (
	group_name TEXT NOT NULL, 
	month TEXT NOT NULL, 
	user_name TEXT NOT NULL, 
	mount TEXT NOT NULL, 
	subjects TEXT NOT NULL, 
	pieces TEXT NOT NULL, 
	PRIMARY KEY (group_name, month, user_name, mount, subjects)
)
 WITHOUT ROWID

;
CREATE TABLE storage_day (
	kind TEXT NOT NULL, 
	name TEXT NOT NULL, 
	mount TEXT NOT NULL, 
	day INTEGER NOT NULL, 
	used BIGINT NOT NULL, 
	last BIGINT NOT NULL, 
	PRIMARY KEY (kind, name, mount, day)
)
 WITHOUT ROWID

;
INSERT INTO "storage_day" VALUES('user','sam','homes',20718,3221225472,3221225472);
CREATE TABLE storage_held (
	kind TEXT NOT NULL, 
	name TEXT NOT NULL, 
	mount TEXT NOT NULL, 
	hub TEXT NOT NULL, 
	used BIGINT NOT NULL, 
	at BIGINT NOT NULL, 
	since BIGINT NOT NULL, 
	held TEXT NOT NULL, 
	owed TEXT NOT NULL, 
	PRIMARY KEY (kind, name, mount)
)
 WITHOUT ROWID

;
INSERT INTO "storage_held" VALUES('user','sam','homes','hub',3221225472,1790036000000000,1790036000000000,'0','0');
CREATE TABLE storage_look (
	kind TEXT NOT NULL, 
	name TEXT NOT NULL, 
	mount TEXT NOT NULL, 
	asked_at BIGINT NOT NULL, 
	seen BIGINT DEFAULT '0' NOT NULL, 
	answered_at BIGINT, 
	answer TEXT, 
	PRIMARY KEY (kind, name, mount)
)
 WITHOUT ROWID

;
CREATE TABLE storage_mount (
	name TEXT NOT NULL, 
	at BIGINT NOT NULL, 
	backend TEXT NOT NULL, 
	size BIGINT NOT NULL, 
	free BIGINT NOT NULL, 
	problems TEXT DEFAULT '[]' NOT NULL, 
	backup TEXT, 
	PRIMARY KEY (name)
);
INSERT INTO "storage_mount" VALUES('homes',1790036000000000,'btrfs',966367641600,536870912000,'[]',NULL);
CREATE TABLE storage_rescue (
	user_name TEXT NOT NULL, 
	amount BIGINT NOT NULL, 
	since BIGINT NOT NULL, 
	until BIGINT NOT NULL, 
	PRIMARY KEY (user_name)
)
 WITHOUT ROWID

;
CREATE TABLE storage_use (
	kind TEXT NOT NULL, 
	name TEXT NOT NULL, 
	mount TEXT NOT NULL, 
	used BIGINT, 
	applied BIGINT, 
	problem TEXT DEFAULT '' NOT NULL, 
	at BIGINT NOT NULL, 
	above BIGINT, 
	PRIMARY KEY (kind, name, mount)
)
 WITHOUT ROWID

;
INSERT INTO "storage_use" VALUES('user','sam','homes',3221225472,10737418240,'',1790036000000000,NULL);
CREATE TABLE subject (
	id INTEGER NOT NULL, 
	user_name TEXT NOT NULL, 
	group_name TEXT NOT NULL, 
	PRIMARY KEY (id), 
	UNIQUE (user_name, group_name)
);
INSERT INTO "subject" VALUES(1,'sam','earth/geo-101');
INSERT INTO "subject" VALUES(2,'','*');
INSERT INTO "subject" VALUES(3,'','earth');
INSERT INTO "subject" VALUES(4,'','earth/geo-101');
INSERT INTO "subject" VALUES(5,'kim','earth/geo-101');
INSERT INTO "subject" VALUES(6,'lee','earth');
CREATE INDEX overlay_by_subject ON overlay (subject, until);
CREATE INDEX session_open ON session (user_name) WHERE closed_at IS NULL;
CREATE UNIQUE INDEX notice_open ON notice (stem) WHERE over_at IS NULL;
CREATE INDEX notice_current ON notice (at) WHERE over_at IS NULL AND kind <> 'stopped';
CREATE INDEX notice_stop ON notice (at) WHERE kind = 'stopped';
CREATE INDEX delivery_due ON delivery (next_at) WHERE sent_at IS NULL;
CREATE INDEX policy_entry_by_name ON policy_entry (kind, name, version);
CREATE INDEX subject_by_group ON subject (group_name);
CREATE INDEX session_by_group ON session (group_name, closed_at);
CREATE INDEX session_by_user ON session (user_name, closed_at);
CREATE INDEX ask_by_state ON ask (state, answered_at);
CREATE INDEX ask_by_user ON ask (user_name, at);
CREATE INDEX storage_use_by_mount ON storage_use (mount);
CREATE INDEX storage_use_above ON storage_use (mount) WHERE above IS NOT NULL;
CREATE INDEX storage_rescue_by_end ON storage_rescue (until);
CREATE INDEX storage_look_open ON storage_look (asked_at) WHERE answered_at IS NULL;
CREATE INDEX storage_held_due ON storage_held (hub, since);
CREATE INDEX refusal_by_user ON refusal (user_name, at);
CREATE INDEX refusal_by_time ON refusal (at);
DELETE FROM "sqlite_sequence";
INSERT INTO "sqlite_sequence" VALUES('policy_entry',4);
INSERT INTO "sqlite_sequence" VALUES('ask',1);
COMMIT;
