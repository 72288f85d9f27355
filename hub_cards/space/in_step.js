// Videos within `.in-step` start, stop and move together, so that the original and the reconstruction show the same frame.
(() => {
  const others = (video) =>
    [...(video.closest(".in-step")?.querySelectorAll("video") ?? [])].filter((other) => other !== video);
  const follow = (event) => {
    const video = event.target;
    if (!(video instanceof HTMLVideoElement)) return;
    for (const other of others(video)) {
      if (Math.abs(other.currentTime - video.currentTime) > 0.05) other.currentTime = video.currentTime;
      if (event.type === "play" && other.paused) other.play().catch(() => {});
      if (event.type === "pause" && !other.paused) other.pause();
    }
  };
  for (const name of ["play", "pause", "seeked"]) document.addEventListener(name, follow, true);
})();
