// The little script there is. Pages work without it as links and forms; it makes
// them live, quick and usable from the keyboard.
import "htmx.org";
import { startCopy } from "./copy";
import { startDialogs } from "./dialog";
import { startExport } from "./export";
import { startKeys } from "./keys";
import { startList } from "./list";
import { startLive } from "./live";
import { startMenus } from "./menus";
import { startPickers } from "./picker";
import { startPortal } from "./portal";
import { startTimes } from "./times";
import { startToasts } from "./toasts";

startTimes();
startMenus();
startToasts();
startDialogs();
startList();
startExport();
startKeys();
startPickers();
startPortal();
startCopy();
startLive();
