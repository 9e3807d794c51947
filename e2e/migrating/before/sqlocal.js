// The database of an app that used SQLocal.
import { SQLocal } from "sqlocal";

if (!localStorage.getItem("filled")) {
  const db = new SQLocal("shop.sqlite3");
  await db.sql("CREATE TABLE friends(id INTEGER PRIMARY KEY, name TEXT NOT NULL, age INTEGER)");
  await db.sql("INSERT INTO friends(name, age) VALUES ('Ada', 36), ('Grace', NULL)");
  const { storageType } = await db.getDatabaseInfo();
  if (storageType !== "opfs") throw new Error(`SQLocal's storage is ${storageType}`);
  await db.destroy();
  localStorage.setItem("filled", "yes");
}
