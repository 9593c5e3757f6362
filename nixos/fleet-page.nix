# The page of all cameras: one picture of each, as it was when the page was loaded, and the way to its own page.
{
  lib,
  cameras,
  title,
}:
let
  card = name: camera: ''
    <li><a href="${name}/"><img src="${name}/api/snapshot.jpg" alt="" loading="lazy"><span>${lib.escapeXML camera.label}</span></a></li>
  '';
in
''
  <!doctype html>
  <html lang="en">
  <meta charset="utf-8">
  <meta name="viewport" content="width=device-width">
  <title>${lib.escapeXML title}</title>
  <style>
    :root { color-scheme: light dark; font: 1rem/1.4 system-ui, sans-serif; }
    body { margin: 1rem auto; max-width: 80rem; padding: 0 1rem; }
    ul { display: grid; gap: 1rem; grid-template-columns: repeat(auto-fill, minmax(16rem, 1fr)); list-style: none; padding: 0; }
    img { aspect-ratio: 16 / 9; background: #8883; display: block; object-fit: cover; width: 100%; }
    span { display: block; padding: .5rem 0; }
    a { color: inherit; }
  </style>
  <h1>${lib.escapeXML title}</h1>
  <ul>
  ${lib.concatStrings (lib.mapAttrsToList card cameras)}</ul>
  </html>
''
