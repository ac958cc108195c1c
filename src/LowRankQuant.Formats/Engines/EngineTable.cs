using LowRankQuant.Formats.Awq;
using LowRankQuant.Formats.Gptq;
using LowRankQuant.Formats.Mlx;

namespace LowRankQuant.Formats.Engines;

/// <summary>
/// What the engines that load our files ask for, with the release and the day it was seen: by loading files with the library where a release is named,
/// by reading its source where a commit is. Targets, exporters and <c>verify</c> read the rules here and nowhere else.
/// <code>
/// engine        what it does                                                                    what it refuses
/// vLLM          4 and 8 bits by Marlin, groups of 32, 64, 128 or rows; the rest by slower ones   parts of a fused matrix on two grids
/// transformers  compressed-tensors, with the library of that name                               asymmetric pack-quantized from 5.23 on, see below
/// GPTQModel     2, 3, 4, 8 bits in runs of 32                                                   v1 with sym false of other writers than itself
/// AutoAWQ       4 bits, groups of 32, 64, 128 by fast kernels                                   outputs that are no multiple of 32
/// MLX           1 to 6 and 8 bits, groups of 32, 64, 128, any number of outputs                 a tied model that stores its head and no embedding
/// llama.cpp     every block type of GGUF
/// </code>
/// </summary>
public static class EngineTable
{
    private static readonly DateOnly LastChecked = new(2026, 11, 28);

    /// <summary>vLLM with its Marlin kernels. Tiles are those of one shard. Source: quantization/utils/marlin_utils.py.</summary>
    public static EngineRules Vllm { get; } = new("vLLM", "source at 007d5005", LastChecked)
    {
        Widths = [4, 8],
        GroupSizes = [32, 64, 128],
        InputTile = 128,
        OutputTile = 64,
    };

    /// <summary>The widths that vLLM's Marlin kernels take with stored zero points. Source: quantization/utils/marlin_utils.py.</summary>
    public static IReadOnlyList<int> VllmZeroPointWidths { get; } = [4];

    // Source: packed_modules_mapping of vLLM's models, which is the same for nearly all that have these names; that of latent attention is made in deepseek_v2.py, that of the gated
    // delta rule's projections in qwen3_5.py (Qwen3-Next stores them as one), gate and up under numbers in lfm2.py and, of experts, in the fused layer of all of them.
    private static readonly string[][] VllmFused =
    [
        ["q_proj", "k_proj", "v_proj"], ["gate_proj", "up_proj"], ["w1", "w3"], ["q_a_proj", "kv_a_proj_with_mqa"], ["in_proj_qkv", "in_proj_z"], ["in_proj_b", "in_proj_a"],
    ];

    // Source: deepseek_v2.py. What makes the latents is the same in every shard; heads are made from them in shards.
    private static readonly string[] VllmWhole = ["q_a_proj", "kv_a_proj_with_mqa"], VllmHeads = ["q_b_proj", "kv_b_proj"];

    // Source: mamba_mixer.py, mamba_mixer2.py, short_conv.py, qwen3_next.py. Heads of a state, or channels, lie in shards; the projections behind them are cut by inputs.
    private static readonly string[] VllmStates = ["in_proj", "in_proj_qkvz"];

    /// <summary>Whether every shard of vLLM has the whole of a linear.</summary>
    /// <param name="linear">Its name, within a block or in full.</param>
    public static bool VllmKeepsWhole(string linear) => VllmWhole.Contains(linear[(linear.LastIndexOf('.') + 1)..]);

    /// <summary>Whether shards of vLLM have parts of a linear's outputs; else, unless all have the whole, of its inputs.</summary>
    /// <param name="linear">Its name, within a block or in full.</param>
    public static bool VllmCutsOutputs(string linear)
    {
        string name = linear[(linear.LastIndexOf('.') + 1)..];
        return !VllmKeepsWhole(linear) && (VllmFusedWith(linear) is not null || VllmHeads.Contains(name) || VllmStates.Contains(name));
    }

    /// <summary>Linears that vLLM runs as one matrix, which has one scheme: those of a set that stand in one module, in the order of the set.</summary>
    /// <param name="linear">Name of one of them, within a block or in full.</param>
    /// <returns>The names of all of them, whether a model has them or not; null for a linear by itself.</returns>
    public static IReadOnlyList<string>? VllmFusedWith(string linear)
    {
        int start = linear.LastIndexOf('.') + 1;
        return Array.Find(VllmFused, set => set.Contains(linear[start..])) is { } set ? [.. set.Select(part => linear[..start] + part)] : null;
    }

    /// <summary>The ranks of adapters that vLLM knows. Source: vllm/config/lora.py at 01230b40.</summary>
    public static IReadOnlyList<int> VllmAdapterRanks { get; } = [1, 8, 16, 32, 64, 128, 256, 320, 512];

    /// <summary>What vLLM's GPTQ loader looks up without a default. Source: quantization/gptq_marlin.py at 00161ce0.</summary>
    public static IReadOnlyList<string> VllmGptqKeys { get; } = ["bits", "group_size", "sym", "desc_act"];

    /// <summary>transformers, with compressed-tensors 0.19.0 and 0.20.1.</summary>
    public static EngineRules Transformers { get; } = new("transformers", "5.17.0 to 5.24.0", LastChecked);

    /// <summary>
    /// How transformers takes asymmetric pack-quantized folders: from 5.23.0 on the model is laid out with zero points of another shape than the file has,
    /// and loading stops, unless the weights are dequantized while they are read, which uses the first scheme for all.
    /// </summary>
    public const string PackedZeroPoints = "transformers up to 5.22; 5.23 and 5.24 need CompressedTensorsConfig(dequantize=True)";

    /// <summary>As <see cref="PackedZeroPoints"/>, where linears have several grids.</summary>
    public const string MixedPackedZeroPoints = "transformers up to 5.22; 5.23 and 5.24 refuse zero points of mixed grids, and dequantize=True takes one grid for all";

    /// <summary>The release of compressed-tensors that packs 3, 5, 6 and 7 bits as we do.</summary>
    public const string DensePackingSince = "0.18";

    /// <summary>GPTQModel: its packer and kernels work on whole runs of 32 codes in both directions.</summary>
    public static EngineRules GptqModel { get; } = new("GPTQModel", "7.7.0", LastChecked)
    {
        Widths = GptqLayout.Widths,
        InputTile = 32,
        OutputTile = 32,
    };

    /// <summary>The first release of GPTQModel whose name in <c>meta.quantizer</c> makes it load v1 with <c>sym</c> false.</summary>
    public static Version FirstAsymmetricV1 { get; } = new(0, 9, 0);

    /// <summary>AutoAWQ: its packer works on whole words of 8 outputs, four at a time.</summary>
    public static EngineRules AutoAwq { get; } = new("AutoAWQ", "0.2.9", LastChecked)
    {
        Widths = [AwqLayout.Bits],
        GroupSizes = [32, 64, 128],
        OutputTile = 32,
    };

    /// <summary>MLX: a linear is quantized where scales stand beside it, whatever its number of outputs.</summary>
    public static EngineRules Mlx { get; } = new("MLX", "mlx_lm 0.32.2 with mlx 0.32.4", LastChecked)
    {
        Widths = MlxLayout.Widths,
        GroupSizes = [32, 64, 128],
    };

    /// <summary>llama.cpp. What its blocks hold is <see cref="Gguf.Grids.GgufFit"/>.</summary>
    public static EngineRules LlamaCpp { get; } = new("llama.cpp", "0.5.0", LastChecked) { InputTile = 32 };
}
