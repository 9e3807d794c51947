// The database of an app that used Dexie.
import Dexie from "dexie";

const db = new Dexie("shop");
db.version(1).stores({ friends: "++id, age" });
if (!localStorage.getItem("filled")) {
  await db.table("friends").bulkAdd([{ name: "Ada", age: 36, tags: ["math"] }, { name: "Grace" }]);
  localStorage.setItem("filled", "yes");
}
db.close();
