<?xml version="1.0" encoding="utf-8"?>
<!-- The catalogue as a page. `sort` is a text from the address: it is compared with names, and never run. -->
<xsl:stylesheet version="1.0" xmlns:xsl="http://www.w3.org/1999/XSL/Transform">
<xsl:import href="look.xsl"/>
<xsl:output method="html" encoding="utf-8" doctype-system="about:legacy-compat" indent="yes"/>
<xsl:param name="sort" select="'name'"/>

<xsl:template match="/catalogue">
  <html lang="en">
    <head>
      <meta name="viewport" content="width=device-width, initial-scale=1"/>
      <title><xsl:value-of select="@title"/></title>
      <link rel="icon" href="data:,"/>
      <xsl:call-template name="look"/>
    </head>
    <body>
      <main>
        <p class="kind">XML, shown by a stylesheet</p>
        <h1><xsl:value-of select="@title"/></h1>
        <p class="lead">The app behind this page answers with <a href="catalogue.xml">this XML</a> and knows no HTML.
          Middleware between it and you made the page, with XSLT.</p>
        <p>Sorted by
          <xsl:call-template name="by"><xsl:with-param name="key" select="'name'"/><xsl:with-param name="text" select="'name'"/></xsl:call-template>,
          <xsl:call-template name="by"><xsl:with-param name="key" select="'flowers'"/><xsl:with-param name="text" select="'month of flowering'"/></xsl:call-template>,
          <xsl:call-template name="by"><xsl:with-param name="key" select="'height_m'"/><xsl:with-param name="text" select="'height'"/></xsl:call-template>.</p>
        <div class="plants">
          <xsl:apply-templates select="plant">
            <xsl:sort select="*[name() = $sort and number() = number()]" data-type="number"/>
            <xsl:sort select="*[name() = $sort]"/>
            <xsl:sort select="name"/>
          </xsl:apply-templates>
        </div>
      </main>
    </body>
  </html>
</xsl:template>

<xsl:template match="plant">
  <section class="card">
    <h2><xsl:value-of select="name"/><xsl:text> </xsl:text><i><xsl:value-of select="latin"/></i></h2>
    <p><xsl:value-of select="note"/></p>
    <p class="soft">flowers from
      <xsl:value-of select="substring('JanFebMarAprMayJunJulAugSepOctNovDec', 3 * flowers - 2, 3)"/>,
      up to <xsl:value-of select="number(height_m)"/> m</p>
  </section>
</xsl:template>

<xsl:template name="by">
  <xsl:param name="key"/>
  <xsl:param name="text"/>
  <xsl:choose>
    <xsl:when test="$key = $sort"><b><xsl:value-of select="$text"/></b></xsl:when>
    <xsl:otherwise><a href="?sort={$key}"><xsl:value-of select="$text"/></a></xsl:otherwise>
  </xsl:choose>
</xsl:template>
</xsl:stylesheet>
