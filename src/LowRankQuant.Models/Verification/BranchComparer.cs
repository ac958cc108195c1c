using LowRankQuant.Formats;
using LowRankQuant.Numerics.Quantized;

namespace LowRankQuant.Models.Verification;

/// <summary>Compares two adapters: the same factors, whatever zero rows and columns one of them is padded with.</summary>
internal static class BranchComparer
{
    /// <summary>First difference of every module that has one.</summary>
    public static IEnumerable<Difference> Compare(ILowRankAdapter expected, ILowRankAdapter actual)
    {
        foreach (string module in expected.Modules.Union(actual.Modules).Order(StringComparer.Ordinal))
        {
            LowRankBranch? run = expected.Read(module), stored = actual.Read(module);
            if ((run is null || stored is null) && !IsZero(run ?? stored!))
                yield return new Difference(module, $"the {(run is null ? "run" : "container")} has no branch here");
            else if (run is not null && stored is not null && Compare(module, run, stored) is { } difference) yield return difference;
        }
    }

    private static Difference? Compare(string module, LowRankBranch run, LowRankBranch stored)
    {
        if (run.Rank > stored.Rank) return new Difference(module, $"a branch of rank {stored.Rank}, the run has {run.Rank}");
        int columns = run.A.Length / run.Rank, rows = run.B.Length / run.Rank;
        for (int term = 0; term < stored.Rank; term++)
        {
            for (int j = 0; j < columns; j++)
            {
                if (stored.A[(term * columns) + j] != (term < run.Rank ? run.A[(term * columns) + j] : 0))
                    return new Difference(module, $"lora_A differs at [{term}, {j}]");
            }
            for (int i = 0; i < rows; i++)
            {
                if (stored.B[(i * stored.Rank) + term] != (term < run.Rank ? run.B[(i * run.Rank) + term] : 0))
                    return new Difference(module, $"lora_B differs at [{i}, {term}]");
            }
        }
        return null;
    }

    private static bool IsZero(LowRankBranch branch) => !branch.A.AsSpan().ContainsAnyExcept(0f) || !branch.B.AsSpan().ContainsAnyExcept(0f);
}
