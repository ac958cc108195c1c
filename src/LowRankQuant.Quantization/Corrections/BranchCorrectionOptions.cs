using System.Text.Json;
using System.Text.Json.Serialization;
using LowRankQuant.Quantization.Methods.Layerwise;

namespace LowRankQuant.Quantization.Corrections;

/// <summary>What is to be done about a model that somebody else quantized.</summary>
public sealed record BranchCorrectionOptions
{
    /// <summary>Stored bits per weight of all linears, branches included; null for one rank.</summary>
    public double? TargetBits { get; init; }

    /// <summary>The rank of every branch, or with a budget the largest.</summary>
    public required int Rank { get; init; }

    /// <summary>Bits of an element of a factor, 8 or 16.</summary>
    public int FactorBits { get; init; } = 8;

    /// <summary>Damping of input covariances.</summary>
    public double Damping { get; init; } = 0.3;

    /// <summary>Strength of error propagation.</summary>
    public double Propagation { get; init; } = 0.7;

    /// <summary>An expert that fewer calibration tokens reach is fitted to the inputs of all experts of its layer together.</summary>
    public int ExpertFloor { get; init; } = CorrectionOptions.UsualExpertFloor;

    /// <summary>All options as text: what differs makes another run.</summary>
    internal string Identity => JsonSerializer.Serialize(this, CorrectionJson.Default.BranchCorrectionOptions);

    /// <summary>Seed of everything random.</summary>
    public required ulong Seed { get; init; }
}

/// <summary>Serialisation of the options.</summary>
[JsonSourceGenerationOptions(PropertyNamingPolicy = JsonKnownNamingPolicy.CamelCase, UseStringEnumConverter = true)]
[JsonSerializable(typeof(BranchCorrectionOptions))]
internal sealed partial class CorrectionJson : JsonSerializerContext;
