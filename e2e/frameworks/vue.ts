// The page of frameworks.spec.ts in Vue.

import { createApp, defineComponent, h, nextTick, ref, type PropType } from "vue";
import {
  provideDatabase, useDatabase, useLiveQuery, useLiveRow, useLiveWindow, useRejections, useSyncStatus,
} from "heddle/vue";
import { all, controls, LISTS, ofChosen, ofList, pages, shown, start, total, type Note } from "./page.js";

const Line = defineComponent({
  props: { note: { type: Object as PropType<Note>, required: true }, kind: { type: String, required: true } },
  setup: (props) => () => h("li", shown(props.kind, props.note.body)),
});

const List = defineComponent({
  props: { list: { type: Number, required: true } },
  setup(props) {
    const { rows, state } = useLiveQuery<Note>(ofList, () => [props.list]);
    return () => {
      shown(`list ${props.list}`);
      return h("ul", { class: "list", id: `list-${props.list}`, "data-state": state.value },
        rows.value.map((note) => h(Line, { key: note.id, note, kind: "line" })));
    };
  },
});

const Total = defineComponent(() => {
  const { rows } = useLiveQuery<{ n: number }>(total);
  return () => h("p", { id: "total" }, rows.value[0]?.n ?? "loading");
});

const Chosen = defineComponent(() => {
  const list = ref<number | null>(null);
  controls({ choose: (to) => { list.value = to; return nextTick(); } });
  const { rows, state } = useLiveQuery<Note>(ofChosen, () => list.value === null ? null : [list.value],
    { keepPrevious: true });
  return () => h("p", { id: "chosen", "data-state": state.value }, rows.value.map(({ body }) => body).join(", "));
});

const One = defineComponent(() => {
  const note = useLiveRow<Note>("notes", { id: "n7" }), status = useSyncStatus(), { rejections } = useRejections();
  const { name } = useDatabase();
  return () => h("p", { id: "one" },
    `${note.value?.body}, ${status.value.state}, ${rejections.value.length}, ${name}`);
});

const Pages = defineComponent(() => {
  const { rows, state, total, hasMore, more } = useLiveWindow<Note>(all, [], pages);
  return () => [
    h("ol", { id: "pages", "data-state": state.value, "data-total": total.value },
      rows.value.map((note) => h(Line, { key: note.id, note, kind: "row" }))),
    h("button", { id: "more", disabled: !hasMore.value, onClick: more }, "More"),
  ];
});

const shows = ref(true);
const App = defineComponent(() => () => [
  h(Total), h(Chosen), h(One), h(Pages),
  shows.value ? Array.from({ length: LISTS }, (_, list) => h(List, { key: list, list })) : null,
]);

const db = await start(), app = createApp(App);
controls({ show: (now) => { shows.value = now; return nextTick(); } });
provideDatabase(db, app);
app.mount("#root");
