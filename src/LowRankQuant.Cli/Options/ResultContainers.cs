using LowRankQuant.Quantization.Targets;

namespace LowRankQuant.Cli.Options;

/// <summary>The containers that <c>lrq quantize</c> writes beside its own, as <c>--to</c> spells them.</summary>
internal static class ResultContainers
{
    /// <summary>All of them, and the engine whose rules a run obeys so that the container holds its result exactly.</summary>
    public static IReadOnlyList<KeyValuePair<string, Target>> All { get; } =
        [new("gguf", Target.LlamaCpp), new("gptq", Target.Gptq), new("awq", Target.Awq), new("mlx", Target.Mlx)];
}
