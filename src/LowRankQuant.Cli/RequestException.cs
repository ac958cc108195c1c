namespace LowRankQuant.Cli;

/// <summary>A command line that cannot be carried out, with everything that is wrong about it.</summary>
internal sealed class RequestException(IReadOnlyList<string> problems) : Exception(string.Join(Environment.NewLine, problems))
{
    public IReadOnlyList<string> Problems { get; } = problems;

    /// <summary>Throws when there are problems.</summary>
    public static void ThrowIfAny(IReadOnlyList<string> problems)
    {
        if (problems.Count > 0) throw new RequestException(problems);
    }
}
