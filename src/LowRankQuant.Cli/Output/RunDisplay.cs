namespace LowRankQuant.Cli.Output;

/// <summary>Chooses how a run is shown.</summary>
internal static class RunDisplay
{
    /// <summary>Bars on a terminal, lines elsewhere; beside results that must stand alone on standard error.</summary>
    public static RunNarrator Create(Terminal terminal, bool json)
    {
        TextWriter writer = json ? terminal.Error : terminal.Out;
        bool live = json ? terminal.ErrorIsTerminal : terminal.OutIsTerminal;
        return new RunNarrator(live ? new LiveView(writer) : new PlainView(writer), TimeProvider.System);
    }
}
