using LowRankQuant.Formats;
using LowRankQuant.Models.Checkpoints;

namespace LowRankQuant.Models.Verification;

/// <summary>Compares an adapter by itself with the low-rank branches of a run: every factor of every module, to the last bit.</summary>
public static class AdapterVerifier
{
    /// <summary>Reads and compares everything.</summary>
    /// <param name="adapter">A PEFT folder or a GGUF LoRA file; stays the caller's.</param>
    /// <param name="run">What it was made from; stays the caller's.</param>
    /// <exception cref="CheckpointFormatException">A factor of the adapter is unsound.</exception>
    public static VerifyReport Compare(ILowRankAdapter adapter, ICheckpoint run)
    {
        ILowRankAdapter? expected = (run as AdaptedCheckpoint)?.Adapter;
        return new VerifyReport
        {
            Kind = adapter.Kind,
            Tensors = 2 * adapter.Modules.Count,
            Branches = expected is null ? 0 : adapter.Modules.Union(expected.Modules).Count(),
            Differences = expected is null ? [new Difference(adapter.Location, "the run has no low-rank branch")] : [.. BranchComparer.Compare(expected, adapter)],
        };
    }
}
