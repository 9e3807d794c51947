-- Of this device alone: triggers keep it, also when cards come from another device.
CREATE VIRTUAL TABLE search USING fts5(title, card UNINDEXED);
CREATE TRIGGER card_added AFTER INSERT ON card BEGIN
  INSERT INTO search(rowid, title, card) VALUES (new.rowid, new.title, new.id);
END;
CREATE TRIGGER card_renamed AFTER UPDATE OF title ON card BEGIN
  UPDATE search SET title = new.title WHERE rowid = old.rowid;
END;
CREATE TRIGGER card_removed AFTER DELETE ON card BEGIN
  DELETE FROM search WHERE rowid = old.rowid;
END;
