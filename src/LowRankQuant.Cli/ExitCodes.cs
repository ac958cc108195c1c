namespace LowRankQuant.Cli;

/// <summary>What the process returns.</summary>
internal static class ExitCodes
{
    public const int Success = 0;

    /// <summary>The work failed; a file that cannot be used is such a failure.</summary>
    public const int Failed = 1;

    /// <summary>The request was wrong: options, or a folder that holds another run.</summary>
    public const int BadRequest = 2;

    /// <summary>Stopped by Ctrl-C: 128 + SIGINT.</summary>
    public const int Interrupted = 130;
}
