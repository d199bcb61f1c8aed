BEGIN TRANSACTION;
CREATE TABLE agreed (
	user TEXT NOT NULL, 
	what TEXT NOT NULL, 
	at BIGINT NOT NULL, 
	PRIMARY KEY (user, what)
);
INSERT INTO "agreed" VALUES('sam','prof-ada',1790036000);
CREATE TABLE author_key (
	id TEXT NOT NULL, 
	public TEXT NOT NULL, 
	user TEXT NOT NULL, 
	label TEXT NOT NULL, 
	at BIGINT NOT NULL, 
	revoked_at BIGINT, 
	PRIMARY KEY (id)
);
INSERT INTO "author_key" VALUES('6574eb4e5fcbf70b','share-links-public:OEUO_Ptxn9Vd1UAjV--VU6A7C_cVdrAWqtC7b37fJr0','prof-ada','Book',1790036000,NULL);
CREATE TABLE built_image (
	repository TEXT NOT NULL, 
	"commit" TEXT NOT NULL, 
	image TEXT NOT NULL, 
	at BIGINT NOT NULL, 
	PRIMARY KEY (repository, "commit")
);
CREATE TABLE known_image (
	image TEXT NOT NULL, 
	pulls BOOLEAN NOT NULL, 
	at BIGINT NOT NULL, 
	PRIMARY KEY (image)
);
CREATE TABLE launch_count (
	link TEXT NOT NULL, 
	day INTEGER NOT NULL, 
	stage TEXT NOT NULL, 
	count INTEGER NOT NULL, 
	PRIMARY KEY (link, day, stage)
);
INSERT INTO "launch_count" VALUES('3dew9tvxyg',20717,'opened',3);
CREATE TABLE revoked_token (
	id TEXT NOT NULL, 
	"by" TEXT NOT NULL, 
	at BIGINT NOT NULL, 
	PRIMARY KEY (id)
);
CREATE TABLE share_links_version (
	version_num VARCHAR(32) NOT NULL, 
	CONSTRAINT share_links_version_pkc PRIMARY KEY (version_num)
);
INSERT INTO "share_links_version" VALUES('0001');
CREATE TABLE snapshot (
	id TEXT NOT NULL, 
	link TEXT NOT NULL, 
	user TEXT NOT NULL, 
	name TEXT NOT NULL, 
	bytes BIGINT NOT NULL, 
	sha256 TEXT NOT NULL, 
	at BIGINT NOT NULL, 
	PRIMARY KEY (id)
);
CREATE TABLE stored_link (
	id TEXT NOT NULL, 
	launch TEXT NOT NULL, 
	label TEXT NOT NULL, 
	"by" TEXT NOT NULL, 
	at BIGINT NOT NULL, 
	until BIGINT, 
	users TEXT NOT NULL, 
	"group" TEXT NOT NULL, 
	revoked_at BIGINT, 
	revoked_by TEXT DEFAULT '' NOT NULL, 
	source TEXT, 
	snapshot TEXT DEFAULT '' NOT NULL, 
	PRIMARY KEY (id)
);
INSERT INTO "stored_link" VALUES('3dew9tvxyg','{"content": {"repository": "https://github.com/earth/geo-book", "ref": "main"}, "environment": {"profile": "gpu", "options": {"image": "x"}}, "target": {"file": "intro/first-map.ipynb"}}','Week 1','prof-ada',1790036000,1790194400,'["sam"]','',NULL,'',NULL,'');
INSERT INTO "stored_link" VALUES('96ahnh8tsh','{"content": {"repository": "https://github.com/earth/geo-book", "ref": "main"}, "environment": {"profile": "gpu", "options": {"image": "x"}}, "target": {"file": "intro/first-map.ipynb"}}','Week 0','prof-ada',1790036000,NULL,'[]','',1790036000,'prof-ada',NULL,'');
CREATE INDEX stored_link_by_maker ON stored_link ("by", at);
CREATE INDEX snapshot_by_user ON snapshot (user);
CREATE INDEX author_key_by_user ON author_key (user);
COMMIT;
