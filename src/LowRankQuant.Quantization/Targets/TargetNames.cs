namespace LowRankQuant.Quantization.Targets;

/// <summary>How targets are spelled: on the command line, in messages and in reports.</summary>
public static class TargetNames
{
    /// <summary>All targets.</summary>
    public static IReadOnlyList<KeyValuePair<string, Target>> Targets { get; } =
    [
        new("llama.cpp", Target.LlamaCpp),
        new("vllm", Target.Vllm),
        new("compressed-tensors", Target.CompressedTensors),
        new("gptq", Target.Gptq),
        new("awq", Target.Awq),
        new("mlx", Target.Mlx),
    ];

    /// <summary>What can be done about misfits, the default first.</summary>
    public static IReadOnlyList<KeyValuePair<string, MisfitRule>> MisfitRules { get; } =
        [new("refuse", MisfitRule.Refuse), new("nearest", MisfitRule.Nearest)];

    /// <summary>The spelling of a target.</summary>
    public static string Of(Target target) => Options.Choices.Of(Targets, target);
}
