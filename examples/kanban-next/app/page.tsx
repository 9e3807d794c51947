export { Kanban as default } from "./Kanban";
