using LowRankQuant.Formats;
using LowRankQuant.Numerics;

namespace LowRankQuant.Models.Families.Gguf.Hybrid;

/// <summary>Mamba-2 in GGUF: the rate as -exp(A_log), the norm by groups, the convolution without the one in the middle; no bounds of the steps.</summary>
internal static class StateSpaceGguf
{
    /// <summary>Names in the file of what may have biases.</summary>
    public static IReadOnlyList<string> Biased { get; } = ["ssm_conv1d"];

    /// <summary>Names of its tensors.</summary>
    /// <param name="prefix">In front of them, such as <c>mamba</c>.</param>
    public static (string, string)[] Names(string prefix) =>
    [
        ($"{prefix}.in_proj", "ssm_in"), ($"{prefix}.conv1d", "ssm_conv1d"), ($"{prefix}.A_log", "ssm_a"), ($"{prefix}.D", "ssm_d"), ($"{prefix}.dt_bias", "ssm_dt.bias"),
        ($"{prefix}.norm", "ssm_norm"), ($"{prefix}.out_proj", "ssm_out"),
    ];

    /// <summary>How its tensors lie.</summary>
    /// <param name="file">Name in the file within a block.</param>
    /// <param name="groups">Groups of the norm.</param>
    public static GgufLayout? Layout(string file, Func<int> groups) => file switch
    {
        "ssm_a" => new GgufLayout { Shape = [-1, 1], IsRate = true },
        "ssm_d" => new GgufLayout { Shape = [-1, 1] },
        "ssm_norm.weight" => new GgufLayout { Shape = [groups(), -1] },
        _ => null,
    };

    /// <summary>Its keys.</summary>
    /// <param name="parts">Sizes of a model.</param>
    /// <param name="keys">What config.json calls heads, elements of a head, states, groups, and taps.</param>
    public static GgufField[] Fields(Func<GgufSubject, StateSpaceParts> parts, (string Heads, string Size, string State, string Groups, string Taps) keys) =>
    [
        new("ssm.conv_kernel", subject => (uint)parts(subject).Taps, reading => reading.Json[keys.Taps] = reading.Size("ssm.conv_kernel")),
        new("ssm.state_size", subject => (uint)parts(subject).Heads.StateSize, reading => reading.Json[keys.State] = reading.Size("ssm.state_size")),
        new("ssm.group_count", subject => (uint)parts(subject).Heads.Groups, reading => reading.Json[keys.Groups] = reading.Size("ssm.group_count")),
        new("ssm.time_step_rank", subject => (uint)parts(subject).Heads.Heads, reading => reading.Json[keys.Heads] = reading.Size("ssm.time_step_rank")),
        new("ssm.inner_size", subject => (uint)Inner(parts(subject).Heads), reading => reading.Json[keys.Size] = HeadSize(reading)),
    ];

    /// <summary>Keys <c>mamba_*</c> of config.json.</summary>
    public static (string, string, string, string, string) MambaKeys => ("mamba_n_heads", "mamba_d_head", "mamba_d_state", "mamba_n_groups", "mamba_d_conv");

    /// <summary>What llama.cpp does not bound.</summary>
    public static IEnumerable<string> Limits(GgufSubject subject, string architecture)
    {
        (float low, float high) = subject.Reader.Limits("time_step_limit");
        if (low > 0 || !float.IsPositiveInfinity(high)) yield return GgufLimits.Otherwise("time_step_limit", FormattableString.Invariant($"[{low}, {high}]"), architecture, "no bounds of the steps");
    }

    /// <summary>Inner width by heads.</summary>
    public static int HeadSize(GgufReading reading)
    {
        int inner = reading.Size("ssm.inner_size"), heads = reading.Size("ssm.time_step_rank");
        return inner % heads == 0 ? inner / heads
            : throw new CheckpointException($"{reading.File.Location}: '{reading.Name("ssm.inner_size")}' is {inner}; it must be a multiple of '{reading.Name("ssm.time_step_rank")}', {heads}.");
    }

    private static int Inner(StateSpaceShape heads) => heads.Heads * heads.HeadSize;
}
