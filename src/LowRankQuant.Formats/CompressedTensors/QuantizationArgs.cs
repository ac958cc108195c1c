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
    /// <summary>Stored type of scales, as torch names it, where they are bytes; else null.</summary>
    public string? ScaleDtype { get; init; }

    /// <summary>Dynamic integer activations per token, as in W8A8 and W4A8.</summary>
    /// <param name="symmetric">Whether the range is symmetric.</param>
    public static QuantizationArgs PerTokenInt8(bool symmetric = true) => new(8, "int", symmetric, QuantizationStrategy.Token, Dynamic: "true");

    /// <summary>Describes a weight grid.</summary>
    /// <exception cref="NotSupportedException">The format has no place for it.</exception>
    public static QuantizationArgs FromGrid(WeightGrid grid) => grid switch
    {
        UniformGrid { Granularity: Granularity.Tensor } => new QuantizationArgs(grid.Bits, "int", grid.Symmetric, QuantizationStrategy.Tensor),
        UniformGrid { Granularity: Granularity.Channel } => new QuantizationArgs(grid.Bits, "int", grid.Symmetric, QuantizationStrategy.Channel),
        UniformGrid grouped => new QuantizationArgs(grid.Bits, "int", grid.Symmetric, QuantizationStrategy.Group, grouped.GroupSize),
        FloatGrid { Scaling: FloatScaling.Channel } => new QuantizationArgs(grid.Bits, "float", true, QuantizationStrategy.Channel),
        FloatGrid { Scaling: FloatScaling.Block } => new QuantizationArgs(grid.Bits, "float", true, QuantizationStrategy.Block, Block: (FloatGrid.BlockSize, FloatGrid.BlockSize)),
        FloatGrid { Scaling: FloatScaling.PowerOfTwo } floats => new QuantizationArgs(grid.Bits, "float", true, QuantizationStrategy.Group, floats.GroupSize) { ScaleDtype = "torch.uint8" },
        FloatGrid floats => new QuantizationArgs(grid.Bits, "float", true, QuantizationStrategy.TensorGroup, floats.GroupSize) { ScaleDtype = "torch.float8_e4m3fn" },
        _ => throw new NotSupportedException($"compressed-tensors has no place for {grid}."),
    };

    /// <summary>Describes the grid of a linear's inputs.</summary>
    public static QuantizationArgs FromGrid(ActivationGrid grid) => new(
        grid.Bits, grid.Floats is null ? "int" : "float", grid.Symmetric,
        grid.Scope switch { ActivationScope.Tensor => QuantizationStrategy.Tensor, ActivationScope.TokenGroup => QuantizationStrategy.Group, _ => QuantizationStrategy.Token },
        grid.GroupSize > 0 ? grid.GroupSize : null, grid.IsDynamic ? "true" : "false");

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
    /// The grid of activations, or of keys and values: integers of 2 to 8 bits with static steps for the tensor or a head, or dynamic ones for a token; 8-bit floats with dynamic steps
    /// for a token or 128 of its columns. Null for any other.
    /// </summary>
    public ActivationGrid? ToActivationGrid()
    {
        if (Type == "float")
        {
            return (NumBits, Symmetric, Dynamic, Strategy, GroupSize) switch
            {
                (8, true, "true", QuantizationStrategy.Token, _) => ActivationGrid.Float8Token,
                (8, true, "true", QuantizationStrategy.Group, FloatGrid.BlockSize) => ActivationGrid.Float8Groups,
                _ => null,
            };
        }
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
    public JsonObject ToJson()
    {
        JsonObject json = Common();
        if (ScaleDtype is not null) json["scale_dtype"] = ScaleDtype;
        return json;
    }

    private JsonObject Common() => new()
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

    /// <summary>The float grid of weights; null where it is none of ours.</summary>
    public FloatGrid? ToFloatGrid()
    {
        if (ToMicroFormat() is { } micro) return FloatGrid.Find(micro.Name);
        if (!IsFloat8 || !Symmetric) return null;
        return Strategy switch
        {
            QuantizationStrategy.Channel => FloatGrid.Fp8,
            QuantizationStrategy.Block when Block is (FloatGrid.BlockSize, FloatGrid.BlockSize) => FloatGrid.Fp8Block,
            _ => null,
        };
    }

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
