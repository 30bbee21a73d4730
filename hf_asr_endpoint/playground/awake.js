/** Keep the screen on, where the browser can, until the function that is returned is called. */
export function keepAwake() {
  let lock = null;
  let isOver = false;
  // The lock is lost whenever the page is hidden.
  const lockScreen = async () => {
    if (isOver || document.visibilityState !== "visible") return;
    try {
      lock = await navigator.wakeLock?.request("screen");
    } catch {
      // The battery is low, or somebody has forbidden it.
    }
    if (isOver) lock?.release();
  };
  document.addEventListener("visibilitychange", lockScreen);
  lockScreen();
  return () => {
    isOver = true;
    document.removeEventListener("visibilitychange", lockScreen);
    lock?.release();
  };
}
