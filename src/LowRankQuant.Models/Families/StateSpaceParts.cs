using LowRankQuant.Models.Decoder;
using LowRankQuant.Models.Decoder.Layouts;
using LowRankQuant.Models.Decoder.Norms;
using LowRankQuant.Models.Decoder.Recurrent;
using LowRankQuant.Numerics;

namespace LowRankQuant.Models.Families;

/// <summary>How a family stores and sizes Mamba-2.</summary>
/// <param name="Prefix">In front of all names, such as <c>mamba</c>.</param>
/// <param name="Heads">Heads, groups and sizes.</param>
/// <param name="Taps">Of the convolution.</param>
internal sealed record StateSpaceParts(string Prefix, StateSpaceShape Heads, int Taps)
{
    /// <summary>Whether the convolution has a bias.</summary>
    public bool ConvolutionBias { get; init; } = true;

    /// <summary>Of both projections.</summary>
    public BiasRule Bias { get; init; }

    /// <summary>Bounds of the steps.</summary>
    public (float Low, float High) Limits { get; init; } = (0, float.PositiveInfinity);

    /// <summary>Whether what comes out is normalised.</summary>
    public bool Normed { get; init; } = true;

    /// <summary>Whether the gate comes behind the norm.</summary>
    public bool GateLast { get; init; }

    /// <summary>Sizes under the keys <c>mamba_*</c>.</summary>
    public static StateSpaceParts Mamba(ConfigReader reader, DecoderConfig config)
    {
        int inner = reader.Size("mamba_expand", 2) * config.HiddenSize, heads = reader.Size("mamba_n_heads", 128);
        int size = reader.Word("mamba_d_head") == "auto" || !reader.Has("mamba_d_head") ? inner / heads : reader.Size("mamba_d_head");
        return new StateSpaceParts("mamba", new StateSpaceShape(1, 1, heads, reader.Size("mamba_n_groups", 1), size, reader.Size("mamba_d_state", 256)), reader.Size("mamba_d_conv", 4))
        {
            ConvolutionBias = reader.Flag("mamba_conv_bias", true),
            Bias = reader.Bias("mamba_proj_bias", false),
            Limits = reader.Limits("time_step_limit"),
        };
    }

    /// <summary>Sizes under the keys of models that are Mamba-2 alone.</summary>
    public static StateSpaceParts Alone(ConfigReader reader) => new(
        "mixer", new StateSpaceShape(1, 1, reader.Size("num_heads", 128), reader.Size("n_groups", 8), reader.Size("head_dim", 64), reader.Size("state_size", 128)), reader.Size("conv_kernel", 4))
    {
        ConvolutionBias = reader.Flag("use_conv_bias", true),
        Bias = reader.Bias("use_bias", false),
        Limits = reader.Limits("time_step_limit"),
    };

    /// <summary>Sizes under the keys of Nemotron-H.</summary>
    public static StateSpaceParts Nemotron(ConfigReader reader) => new(
        "mixer", new StateSpaceShape(1, 1, reader.Size("mamba_num_heads", 128), reader.Size("n_groups", 8), reader.Size("mamba_head_dim", 64), reader.Size("ssm_state_size", 128)),
        reader.Size("conv_kernel", 4))
    {
        ConvolutionBias = reader.Flag("use_conv_bias", true),
        Bias = reader.Bias(reader.FirstOf("mamba_proj_bias", "use_bias"), false),
        Limits = reader.Limits("time_step_limit"),
    };

    /// <summary>The mixer of a block.</summary>
    public StateSpaceMixer Make(BlockParts parts, DecoderConfig config)
    {
        int width = Heads.Heads * Heads.HeadSize, mixed = width + (2 * Heads.Groups * Heads.StateSize);
        return new StateSpaceMixer
        {
            Input = parts.Linear($"{Prefix}.in_proj", width + mixed + Heads.Heads, config.HiddenSize, Bias),
            Convolution = CausalConvolution.Load(parts, $"{Prefix}.conv1d", mixed, Taps, ConvolutionBias),
            Rate = parts.NegativeExponential($"{Prefix}.A_log", 1, Heads.Heads),
            Skip = parts.Tensor($"{Prefix}.D", Heads.Heads),
            StepBias = parts.Tensor($"{Prefix}.dt_bias", Heads.Heads),
            StepLimits = Limits,
            Norm = Normed ? parts.Own(new GatedNorm(parts.Tensor($"{Prefix}.norm.weight", width), width, Heads.Groups, config.NormEpsilon, gateFirst: !GateLast)) : null,
            Output = parts.Linear($"{Prefix}.out_proj", config.HiddenSize, width, Bias),
            Heads = Heads,
        };
    }
}
