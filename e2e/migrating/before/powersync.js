// The database of an app that used PowerSync, which has uploaded everything.
import { column, PowerSyncDatabase, Schema, Table } from "@powersync/web";

const schema = new Schema({ friends: new Table({ name: column.text, age: column.integer }) });
if (!localStorage.getItem("filled")) {
  const db = new PowerSyncDatabase({ schema, database: { dbFilename: "shop.db" } });
  await db.execute("INSERT INTO friends(id, name, age) VALUES ('a', 'Ada', 36), ('g', 'Grace', NULL)");
  for (let tx; (tx = await db.getNextCrudTransaction()); ) await tx.complete();
  await db.close();
  localStorage.setItem("filled", "yes");
}
