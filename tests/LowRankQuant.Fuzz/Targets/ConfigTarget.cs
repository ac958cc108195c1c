using System.Text;
using System.Text.Json.Nodes;
using LowRankQuant.Models;
using LowRankQuant.Models.Checkpoints;
using LowRankQuant.Models.Decoder.Positions;

namespace LowRankQuant.Fuzz.Targets;

/// <summary>config.json of a folder: the model's sizes, and how its linears are stored in every container; and adapter_config.json.</summary>
internal sealed class ConfigTarget : FuzzTarget
{
    private const string Layer = "model.layers.0.self_attn.q_proj";

    // One layer of 64 x 64 as each container stores it with 4 bits and groups of 32.
    private static readonly (string Mark, (string Name, string Type, int[] Shape, int Size)[] Tensors)[] Containers =
    [
        ("gptq", [("qweight", "I32", [8, 64], 4), ("qzeros", "I32", [2, 8], 4), ("scales", "F16", [2, 64], 2), ("g_idx", "I32", [64], 4)]),
        ("awq", [("qweight", "I32", [64, 8], 4), ("qzeros", "I32", [2, 8], 4), ("scales", "F16", [2, 64], 2)]),
        ("packed", [("weight_packed", "I32", [64, 8], 4), ("weight_scale", "BF16", [64, 2], 2), ("weight_zero_point", "I32", [8, 2], 4), ("weight_shape", "I64", [2], 8)]),
        ("naive", [("weight", "I8", [64, 64], 1), ("weight_scale", "F32", [64, 1], 4)]),
        ("mlx", [("weight", "U32", [64, 8], 4), ("scales", "F16", [64, 2], 2), ("biases", "F16", [64, 2], 2)]),
        ("dense", [("weight", "BF16", [64, 64], 2)]),
        ("adapter", [("lora_A.weight", "F32", [2, 64], 4), ("lora_B.weight", "F32", [64, 2], 4)]),
    ];

    private bool _prepared;

    public override string Name => "config";

    protected override void Read(byte[] input, Scratch scratch)
    {
        Prepare(scratch);
        string text = Encoding.Latin1.GetString(input);
        if (text.Contains("peft_type", StringComparison.Ordinal))
        {
            ReadAdapter(input, scratch);
            return;
        }
        string container = text.Contains("compressed", StringComparison.Ordinal) ? text.Contains("naive", StringComparison.Ordinal) ? "naive" : "packed"
            : text.Contains("awq", StringComparison.Ordinal) ? "awq"
            : text.Contains("gptq", StringComparison.Ordinal) || text.Contains("round", StringComparison.Ordinal) ? "gptq"
            : text.Contains("quantization", StringComparison.Ordinal) ? "mlx" : "dense";
        string folder = Path.Combine(scratch.Folder, container);
        scratch.Write(Path.Combine(container, "config.json"), input);
        using ICheckpoint checkpoint = CheckpointOpener.Open(folder);
        Each(
            () => RopeFrequencies.Compute(checkpoint.Config.Rope, 8),
            () => checkpoint.ReadOrdered(Layer + ".weight"),
            () => checkpoint.ReadQuantized(Layer + ".weight"),
            () => checkpoint.StoredBitsOf(Layer + ".weight"),
            () => ReadValues(checkpoint));
    }

    private static void ReadValues(ICheckpoint checkpoint)
    {
        IReadOnlyList<int> shape = checkpoint.ShapeOf(Layer + ".weight");
        if ((long)shape[0] * shape[1] is > 0 and < 1 << 16) checkpoint.Read(Layer + ".weight", new float[shape[0] * shape[1]]);
    }

    private static void ReadAdapter(byte[] input, Scratch scratch)
    {
        scratch.Write(Path.Combine("adapter", "adapter_config.json"), input);
        using ICheckpoint model = CheckpointOpener.Open(Path.Combine(scratch.Folder, "model"), Path.Combine(scratch.Folder, "adapter"));
        model.Contains(Layer + ".weight");
    }

    private void Prepare(Scratch scratch)
    {
        if (_prepared) return;
        foreach ((string mark, (string Name, string Type, int[] Shape, int Size)[] tensors) in Containers)
        {
            Directory.CreateDirectory(Path.Combine(scratch.Folder, mark));
            string prefix = mark == "adapter" ? "base_model.model." : "";
            scratch.Write(Path.Combine(mark, mark == "adapter" ? "adapter_model.safetensors" : "model.safetensors"), File(prefix + Layer, tensors));
        }
        Directory.CreateDirectory(Path.Combine(scratch.Folder, "model"));
        scratch.Write(Path.Combine("model", "model.safetensors"), File(Layer, Containers[5].Tensors));
        scratch.Write(Path.Combine("model", "config.json"), """
            {"model_type": "llama", "hidden_size": 64, "num_attention_heads": 4, "num_hidden_layers": 1, "intermediate_size": 128, "vocab_size": 32}
            """u8);
        _prepared = true;
    }

    // Scales of zero would end the reading at once.
    private static byte[] Filled(string name, int length)
    {
        byte[] bytes = new byte[length];
        if (name.Contains("scale", StringComparison.Ordinal)) Array.Fill(bytes, (byte)0x3c);
        return bytes;
    }

    private static byte[] File(string layer, (string Name, string Type, int[] Shape, int Size)[] tensors)
    {
        var header = new JsonObject();
        var data = new List<byte>();
        foreach ((string name, string type, int[] shape, int size) in tensors)
        {
            int begin = data.Count, length = shape.Aggregate(size, (product, n) => product * n);
            data.AddRange(name == "weight_shape" ? [.. BitConverter.GetBytes(64L), .. BitConverter.GetBytes(64L)] : Filled(name, length));
            header[$"{layer}.{name}"] = new JsonObject
            {
                ["dtype"] = type,
                ["shape"] = new JsonArray([.. shape.Select(n => JsonValue.Create(n))]),
                ["data_offsets"] = new JsonArray(begin, begin + length),
            };
        }
        byte[] json = Encoding.UTF8.GetBytes(header.ToJsonString());
        return [.. BitConverter.GetBytes((long)json.Length), .. json, .. data];
    }
}
