<?xml version="1.0" encoding="utf-8"?>
<!-- How the page looks; in a file of its own, which page.xsl imports. -->
<xsl:stylesheet version="1.0" xmlns:xsl="http://www.w3.org/1999/XSL/Transform">
<xsl:template name="look">
<style>
  :root {
    color-scheme: light dark;
    --hue: 96;
    --ground: hsl(var(--hue) 30% 97%); --card: #fff; --ink: hsl(var(--hue) 25% 14%); --soft: hsl(var(--hue) 10% 42%);
    --line: hsl(var(--hue) 22% 88%); --accent: hsl(var(--hue) 65% 28%);
  }
  @media (prefers-color-scheme: dark) {
    :root {
      --ground: hsl(var(--hue) 18% 9%); --card: hsl(var(--hue) 16% 13%); --ink: hsl(var(--hue) 15% 91%);
      --soft: hsl(var(--hue) 10% 65%); --line: hsl(var(--hue) 14% 24%); --accent: hsl(var(--hue) 50% 62%);
    }
  }
  * { box-sizing: border-box; }
  body { margin: 0; background: var(--ground); color: var(--ink); font: 1rem/1.6 system-ui, sans-serif; }
  main { max-width: 64rem; margin: 0 auto; padding: clamp(1.25rem, 5vw, 3.5rem) clamp(1rem, 4vw, 2rem); }
  h1 { font-size: clamp(1.7rem, 5vw, 2.5rem); line-height: 1.15; letter-spacing: -.02em; margin: 0 0 .75rem; }
  h2 { font-size: 1.1rem; margin: 0 0 .35rem; }
  h2 i { display: block; font-weight: 400; font-size: .95rem; color: var(--soft); }
  a { color: var(--accent); }
  .kind { color: var(--accent); font-weight: 600; margin: 0 0 .25rem; }
  .lead, .soft { color: var(--soft); }
  .plants { display: grid; grid-template-columns: repeat(auto-fill, minmax(min(18rem, 100%), 1fr)); gap: 1.25rem; }
  .card { background: var(--card); border: 1px solid var(--line); border-radius: 14px; padding: 1.1rem 1.3rem; }
  .card p { margin: 0 0 .35rem; }
  :focus-visible { outline: 3px solid var(--accent); outline-offset: 2px; }
</style>
</xsl:template>
</xsl:stylesheet>
