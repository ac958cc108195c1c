using System.Text.Json.Nodes;
using LowRankQuant.Formats.SmallFloats;
using LowRankQuant.Numerics.Quantized;

namespace LowRankQuant.Formats.CompressedTensors;

/// <summary>How one kind of tensor is quantized: an ARGS object of <c>quantization_config</c>.</summary>
/// <param name="NumBits">Width of a code.</param>
/// <param name="Type">Number type: <c>int</c> or <c>float</c>.</param>
/// <param name="Symmetric">Whether the zero point is 0 and not stored.</param>
/// <param name="Strategy">What shares one scale.</param>
/// <param name="GroupSize">Inputs per group; only for groups.</param>
/// <param name="Dynamic">Scales computed at run time: <c>false</c>, <c>true</c> or <c>local</c>.</param>
/// <param name="ActOrder">Activation order: null, <c>group</c>, <c>weight</c>, ...</param>
/// <param name="Block">Rows and columns of a block; only for blocks.</param>
public sealed record QuantizationArgs(
    int NumBits, string Type, bool Symmetric, QuantizationStrategy Strategy, int? GroupSize = null, string Dynamic = "false", string? ActOrder = null,
    (int Rows, int Columns)? Block = null)
{
    /// <summary>Dynamic integer activations per token, as in W8A8 and W4A8.</summary>
    /// <param name="symmetric">Whether the range is symmetric.</param>
    public static QuantizationArgs PerTokenInt8(bool symmetric = true) => new(8, "int", symmetric, QuantizationStrategy.Token, Dynamic: "true");

    /// <summary>Describes a weight grid.</summary>
    public static QuantizationArgs FromGrid(UniformGrid grid) => grid.Granularity switch
    {
        Granularity.Tensor => new QuantizationArgs(grid.Bits, "int", grid.Symmetric, QuantizationStrategy.Tensor),
        Granularity.Channel => new QuantizationArgs(grid.Bits, "int", grid.Symmetric, QuantizationStrategy.Channel),
        _ => new QuantizationArgs(grid.Bits, "int", grid.Symmetric, QuantizationStrategy.Group, grid.GroupSize),
    };

    /// <summary>The weight grid, or null when it is no uniform integer grid of 2 to 8 bits per tensor, channel or group.</summary>
    public UniformGrid? ToGrid()
    {
        if (Type != "int" || Dynamic != "false" || NumBits is < UniformGrid.MinBits or > UniformGrid.MaxBits) return null;
        return Strategy switch
        {
            QuantizationStrategy.Tensor => new UniformGrid(NumBits, Symmetric, Granularity.Tensor),
            QuantizationStrategy.Channel => new UniformGrid(NumBits, Symmetric, Granularity.Channel),
            QuantizationStrategy.Group when GroupSize is > 0 => new UniformGrid(NumBits, Symmetric, Granularity.Group, GroupSize.Value),
            _ => null,
        };
    }

    /// <summary>
    /// The grid of activations, or of keys and values: integers of 2 to 8 bits with static steps for the tensor or a head, or dynamic ones for a token. Null for any other.
    /// </summary>
    public ActivationGrid? ToActivationGrid()
    {
        if (Type != "int" || NumBits is < 2 or > 8) return null;
        return (Strategy, Dynamic) switch
        {
            (QuantizationStrategy.Tensor, "false") => new ActivationGrid(NumBits, Symmetric, ActivationScope.Tensor),
            (QuantizationStrategy.AttnHead, "false") => new ActivationGrid(NumBits, Symmetric, ActivationScope.Head),
            (QuantizationStrategy.Token, "true") => new ActivationGrid(NumBits, Symmetric, ActivationScope.Token),
            _ => null,
        };
    }

    /// <summary>The JSON object, with only the keys that every release since 0.5 reads.</summary>
    public JsonObject ToJson() => new()
    {
        ["actorder"] = ActOrder,
        ["block_structure"] = Block is { } block ? new JsonArray(block.Rows, block.Columns) : null,
        ["dynamic"] = Dynamic switch { "true" => JsonValue.Create(true), "false" => JsonValue.Create(false), _ => JsonValue.Create(Dynamic) },
        ["group_size"] = GroupSize,
        ["num_bits"] = NumBits,
        ["observer"] = "minmax",
        ["observer_kwargs"] = new JsonObject(),
        ["strategy"] = StrategyName(Strategy),
        ["symmetric"] = Symmetric,
        ["type"] = Type,
    };

    /// <summary>A short description for messages, such as <c>int8 symmetric token dynamic</c>.</summary>
    public string Describe() => $"{Type}{NumBits} {(Symmetric ? "symmetric" : "asymmetric")} {StrategyName(Strategy)}{(GroupSize is { } g ? g : "")}"
        + Dynamic switch { "true" => " dynamic", "false" => "", _ => " dynamic " + Dynamic };

    /// <summary>Whether weights are 8-bit floats with a scale per tensor, channel or block.</summary>
    public bool IsFloat8 => Type == "float" && NumBits == 8 && Dynamic == "false"
        && Strategy is (QuantizationStrategy.Tensor or QuantizationStrategy.Channel or QuantizationStrategy.Block);

    /// <summary>The format of weights that are small floats in groups with stored scales of a byte; null for any other.</summary>
    public MicroFormat? ToMicroFormat() => Type == "float" && Dynamic == "false" && Symmetric
        ? MicroFormat.All.FirstOrDefault(format => format.CodeBits == NumBits && format.GroupSize == GroupSize
            && Strategy == (format.ScalesAreFloats ? QuantizationStrategy.TensorGroup : QuantizationStrategy.Group))
        : null;

    internal static string StrategyName(QuantizationStrategy strategy) => strategy switch
    {
        QuantizationStrategy.Tensor => "tensor",
        QuantizationStrategy.Channel => "channel",
        QuantizationStrategy.Group => "group",
        QuantizationStrategy.Block => "block",
        QuantizationStrategy.Token => "token",
        QuantizationStrategy.TensorGroup => "tensor_group",
        _ => "attn_head",
    };
}
