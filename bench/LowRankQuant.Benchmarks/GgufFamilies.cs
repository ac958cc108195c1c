using System.Diagnostics;
using System.Globalization;
using System.Text.Json.Nodes;
using LowRankQuant.Formats.Gguf;
using LowRankQuant.Formats.Safetensors;
using LowRankQuant.LlamaCpp;
using LowRankQuant.Models;
using LowRankQuant.Models.Checkpoints;
using LowRankQuant.Models.Checkpoints.Containers;
using LowRankQuant.Models.Checkpoints.Gguf;
using LowRankQuant.Models.Decoder;
using LowRankQuant.Models.Decoder.Layouts;
using LowRankQuant.Models.Decoder.Passes;
using LowRankQuant.Models.Export.Gguf;
using LowRankQuant.Models.Families;
using LowRankQuant.Models.Families.Catalog;
using LowRankQuant.Numerics;
using LowRankQuant.Numerics.Autograd;
using LowRankQuant.Numerics.Cpu;

namespace LowRankQuant.Benchmarks;

/// <summary>
/// Reference checkpoints of every family as GGUF files of floats: logits of llama.cpp against the reference, and the file read back. Each in a process of its own, since
/// the engine ends the process on what it does not expect.
/// </summary>
internal static class GgufFamilies
{
    private static readonly string[] Texts = ["a", "b"];

    // Cases whose values llama.cpp has built in otherwise, with those that it has; logits are then compared with our own of the changed model.
    private static readonly (string Case, string Changes)[] Variants =
    [
        ("cohere2", """{"sliding_window_pattern": 4}"""),
        ("gemma2", """{"query_pre_attn_scalar": 16}"""),
        ("gemma3_text", """{"query_pre_attn_scalar": 16, "sliding_window_pattern": 6}"""),
        ("gemma3_text_linear", """{"query_pre_attn_scalar": 16, "sliding_window_pattern": 6}"""),
        ("mistral", """{"sliding_window": null}"""),
        ("phi3", """{"sliding_window": null}"""),
        ("qwen2_window", """{"use_sliding_window": false}"""),
        ("smollm3", """{"no_rope_layers": [1, 1, 1, 0]}"""),
        ("starcoder2", """{"sliding_window": null}"""),
        ("exaone4", """{"sliding_window": null, "layer_types": null}"""),
        ("gpt_oss", """{"swiglu_limit": 7.0, "rope_scaling": {"rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 32}}"""),
        ("gpt_oss_mxfp4", """{"swiglu_limit": 7.0, "rope_scaling": {"rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 32}}"""),
        ("llama4_text", """{"attention_chunk_size": 8192, "attn_scale": 0.1, "floor_scale": 8192}"""),
        ("olmoe", """{"clip_qkv": null}"""),
        ("nemotron", """{"random": true, "head_dim": 8}"""),
        ("exaone4_1b", """{"random": true, "head_dim": 8}"""),
        ("exaone4", """{"random": true, "head_dim": 8, "num_hidden_layers": 64, "layer_types": null}"""),
        ("cohere_qk_norm", """{"random": true, "num_hidden_layers": 64}"""),
        ("cohere2", """{"random": true, "num_hidden_layers": 9, "sliding_window_pattern": 4}"""),
        ("gemma2", """{"random": true, "num_hidden_layers": 46}"""),
        ("gemma3_text", """{"random": true, "query_pre_attn_scalar": 16, "sliding_window_pattern": 6, "num_hidden_layers": 13}"""),
        ("gemma3_text", """{"random": true, "query_pre_attn_scalar": 12, "sliding_window_pattern": 6, "num_hidden_layers": 62}"""),
        ("gpt_oss", """{"random": true, "swiglu_limit": 7.0, "num_hidden_layers": 5, "layer_types": null, "rope_scaling": {"rope_type": "yarn", "factor": 32.0, "original_max_position_embeddings": 4096, "truncate": false}, "rope_theta": 150000}"""),
        ("smollm3", """{"random": true, "num_hidden_layers": 9, "no_rope_layers": null, "layer_types": null}"""),
        ("granite", """{"random": true, "num_hidden_layers": 5}"""),
        ("qwen2_moe", """{"random": true, "num_hidden_layers": 4}"""),
        ("qwen3_5_text", """{"random": true, "linear_value_head_dim": 16, "rms_norm_eps": 1e-6}"""),
        ("qwen3_5_text", """{"random": true, "linear_value_head_dim": 16, "rms_norm_eps": 1e-5}"""),
        ("deepseek_v2", """{"random": true, "q_lora_rank": 32}"""),
        ("deepseek_v2", """{"random": true, "num_hidden_layers": 27}"""),
        ("deepseek_v3", """{"random": true, "rms_norm_eps": 1e-6}"""),
        ("mamba2", """{"time_step_limit": null}"""),
        ("falcon_h1_norm", """{"mamba_norm_before_gate": false}"""),
    ];

    /// <summary>Prints the table.</summary>
    public static int Run(Options options)
    {
        if (options.Text("case") is { } folder) return One(Path.GetFullPath(folder), options.Text("despite") == "yes", options.Text("changes"));
        string root = options.Text("golden") ?? throw new ArgumentException("--golden FOLDER is needed.");
        string only = options.Text("only") ?? "";
        Console.WriteLine("| case | architecture | llama.cpp against the reference, a and b | file read back: largest difference of a tensor, logits | |");
        Console.WriteLine("| --- | --- | --- | --- | --- |");
        foreach (string group in new[] { "models", "models2", "hybrids" })
        {
            foreach (string path in Directory.GetDirectories(Path.Combine(root, group)).Order(StringComparer.Ordinal))
            {
                string name = Path.GetFileName(path);
                if (!File.Exists(path + ".safetensors") || !only.Split(',').Any(part => name.StartsWith(part, StringComparison.Ordinal))) continue;
                Row(path, name, options, null);
                foreach ((_, string changes) in Variants.Where(variant => variant.Case == name)) Row(path, $"{name} with {changes[1..^1].Replace("\"", "", StringComparison.Ordinal)}", options, changes);
            }
        }
        return 0;
    }

    private static void Row(string path, string name, Options options, string? changes)
    {
        var start = new ProcessStartInfo(Environment.ProcessPath!) { RedirectStandardOutput = true, RedirectStandardError = true };
        if (Path.GetFileNameWithoutExtension(start.FileName) == "dotnet") start.ArgumentList.Add(typeof(GgufFamilies).Assembly.Location);
        foreach (string argument in new[] { "gguf-families", "--case", path, "--despite", options.Text("despite") ?? "no" }) start.ArgumentList.Add(argument);
        if (changes is not null)
        {
            start.ArgumentList.Add("--changes");
            start.ArgumentList.Add(changes);
        }
        using Process child = Process.Start(start)!;
        Task<string> errors = child.StandardError.ReadToEndAsync();
        string text = child.StandardOutput.ReadToEnd().Trim();
        child.WaitForExit();
        string reason = child.ExitCode == 0 ? "" : $"ended with {child.ExitCode}: {errors.Result.Trim().Split('\n')[0]}";
        Console.WriteLine($"| {name} | {(text.Length > 0 ? text : " | | | ")} {reason} |");
    }

    private static int One(string folder, bool despite, string? changes)
    {
        string path = Path.Combine(Path.GetTempPath(), $"lrq-{Environment.ProcessId}.gguf"), copy = path + ".model";
        try
        {
            string model = folder;
            if (changes is not null)
            {
                Directory.CreateDirectory(copy);
                bool random = changes.Contains("\"random\"", StringComparison.Ordinal);
                foreach (string file in Directory.GetFiles(folder).Where(file => !random || !file.EndsWith(".safetensors", StringComparison.Ordinal))) File.CreateSymbolicLink(Path.Combine(copy, Path.GetFileName(file)), file);
                var json = (JsonObject)JsonNode.Parse(File.ReadAllText(Path.Combine(folder, "config.json")))!;
                foreach ((string key, JsonNode? value) in (JsonObject)JsonNode.Parse(changes)!) json[key] = value?.DeepClone();
                File.Delete(Path.Combine(copy, "config.json"));
                File.WriteAllText(Path.Combine(copy, "config.json"), json.ToJsonString());
                if (random) WriteRandom(copy, json);
                model = copy;
            }
            using ICheckpoint source = CheckpointOpener.Open(model);
            string name = source.Architecture.Gguf?.Name ?? "none";
            string note = "";
            try
            {
                GgufExporter.Write(source, path, new GgufExportOptions
                {
                    Linear = GgmlType.F32,
                    Embedding = GgmlType.F32,
                    Output = GgmlType.F32,
                    WithoutTokenizer = true,
                    DespiteLimits = despite,
                });
                if (source.Architecture.Gguf!.Problems.Count > 0) note = "would be refused: " + source.Architecture.Gguf.Problems[0];
                else if (source.Architecture.Gguf.Warnings.Count > 0) note = "warns: " + source.Architecture.Gguf.Warnings[0];
            }
            catch (ExportException refused)
            {
                Console.WriteLine($"{name} | | | refused: {refused.Problems[0]}");
                return 0;
            }
            using SafetensorsFile golden = SafetensorsFile.Open(folder + ".safetensors");
            using CausalModel? own = changes is null ? null : new CausalModel(CheckpointOpener.Open(model), new CpuDevice(new CpuDeviceOptions { Threads = 1 }));
            string back, engine;
            try
            {
                back = Back(source, path, golden, own);
            }
            catch (Exception bad)
            {
                back = $"{bad.GetType().Name}: {bad.Message}";
            }
            Console.Write($"{name} | ");
            Console.Out.Flush();
            try
            {
                engine = Engine(path, golden, own);
            }
            catch (InvalidDataException refused)
            {
                engine = refused.Message.Replace('\n', ' ');
            }
            Console.WriteLine($"{engine} | {back} | {note}");
            return 0;
        }
        finally
        {
            File.Delete(path);
            if (Directory.Exists(copy)) Directory.Delete(copy, recursive: true);
        }
    }

    private static string Engine(string path, SafetensorsFile golden, CausalModel? reference)
    {
        LlamaEngine engine = LlamaEngine.Load(LlamaEngine.Find(Directory.GetCurrentDirectory()) ?? throw new FileNotFoundException("llama.cpp is not installed; set LRQ_LLAMACPP."));
        using LlamaModel model = engine.Open(path);
        using LlamaContext context = model.CreateContext(exact: true);
        return string.Join(", ", Texts.Select(text => Number(Relative(golden, text, reference, (ids, into) => context.Logits(ids).CopyTo(into)))));
    }

    private static string Back(ICheckpoint source, string path, SafetensorsFile golden, CausalModel? reference)
    {
        using var device = new CpuDevice(new CpuDeviceOptions { Threads = 1 });
        using var model = new CausalModel(CheckpointOpener.Open(path), device);
        ICheckpoint file = model.Checkpoint;
        double largest = 0;
        foreach (TensorSpec tensor in source.Layout.Tensors.Append(new TensorSpec(source.Architecture.EmbeddingName, source.ShapeOf(Embedding(source)), null)))
        {
            float[] expected = Values(source, tensor.Name == source.Architecture.EmbeddingName ? Embedding(source) : tensor.Name), actual = Values(file, tensor.Name);
            expected = ((GgufCheckpoint)file).Kept(tensor.Name, expected);
            for (int i = 0; i < expected.Length; i++) largest = Math.Max(largest, Math.Abs(expected[i] - actual[i]));
        }
        double logits = Texts.Max(text => Relative(golden, text, reference, (ids, into) => Own(model, ids, into)));
        return $"{Number(largest)}, {Number(logits)}";
    }

    // Norms about one, all else small, so that logits depend on everything.
    private static void WriteRandom(string folder, JsonObject json)
    {
        json.Remove("random");
        Architecture architecture = ModelFamilies.Read(json, folder);
        var random = new SeededRandom(11);
        var tensors = new Dictionary<string, PendingTensor>(StringComparer.Ordinal);
        DecoderConfig config = architecture.Config;
        Add(architecture.EmbeddingName, [config.VocabularySize, config.HiddenSize]);
        if (!config.TiedEmbeddings) Add(architecture.HeadName, [config.VocabularySize, config.HiddenSize]);
        foreach (TensorSpec tensor in architecture.Layout(_ => false).Tensors) Add(tensor.View?.Stored ?? tensor.Name, tensor.View?.StoredShape ?? tensor.Shape);
        SafetensorsWriter.Write(Path.Combine(folder, "model.safetensors"), [.. tensors.Values]);

        void Add(string name, IReadOnlyList<int> shape)
        {
            bool norm = name.Contains("norm", StringComparison.Ordinal) && name.EndsWith(".weight", StringComparison.Ordinal);
            float size = shape.Count > 1 && !norm ? (float)(1 / Math.Sqrt(shape[^1])) : 0.2f;
            float[] values = [.. Enumerable.Range(0, shape.Aggregate(1, (product, one) => product * one)).Select(_ => (norm ? 1 : 0) + (size * (float)random.NextGaussian()))];
            tensors[name] = PendingTensor.FromSingles(name, SafetensorsType.F32, [.. shape.Select(one => (long)one)], values);
        }
    }

    private static string Embedding(ICheckpoint source) => source.Contains(source.Architecture.EmbeddingName) ? source.Architecture.EmbeddingName : source.Architecture.HeadName;

    private static void Own(CausalModel model, int[] ids, Span<float> into)
    {
        using var tape = new Tape(model.Device, recording: false);
        Tensor x = tape.Rent(ids.Length, model.Config.HiddenSize);
        using InputEmbedding embedding = model.LoadEmbedding();
        using var inputs = new PassInputs(embedding, model.Config.Layers, ids, x, [.. Enumerable.Range(0, ids.Length)]);
        ForwardPass pass = ForwardPass.OfWindows(new SequenceShape(1, ids.Length));
        var state = new Variable(x);
        for (int i = 0; i < model.Config.Layers; i++)
        {
            using IDecoderBlock block = model.LoadBlock(i);
            state = block.Forward(tape, state, inputs.For(pass, i));
        }
        using OutputHead head = model.LoadHead();
        head.Logits(tape, state).Value.Span.CopyTo(into);
    }

    private delegate void Runner(int[] ids, Span<float> into);

    private static double Relative(SafetensorsFile golden, string text, CausalModel? reference, Runner run)
    {
        long[] stored = new long[golden.Tensors[$"{text}.ids"].ElementCount];
        golden.Read($"{text}.ids", stored.AsSpan());
        int batch = (int)golden.ShapeOf($"{text}.ids")[0], length = stored.Length / batch;
        var expected = new float[golden.Tensors[$"{text}.logits"].ElementCount];
        golden.ReadSingles($"{text}.logits", expected);
        var actual = new float[expected.Length];
        int size = expected.Length / batch;
        for (int b = 0; b < batch; b++)
        {
            int[] ids = [.. stored.Skip(b * length).Take(length).Select(id => (int)id)];
            if (reference is not null) Own(reference, ids, expected.AsSpan(b * size, size));
            run(ids, actual.AsSpan(b * size, size));
        }
        double difference = 0, norm = 0;
        for (int i = 0; i < expected.Length; i++)
        {
            difference += Math.Pow(expected[i] - actual[i], 2);
            norm += Math.Pow(expected[i], 2);
        }
        return Math.Sqrt(difference / norm);
    }

    private static float[] Values(ICheckpoint checkpoint, string name)
    {
        var values = new float[checkpoint.ShapeOf(name).Aggregate(1, (product, size) => product * size)];
        checkpoint.Read(name, values);
        return values;
    }

    private static string Number(double value) => value.ToString("0.0E+0", CultureInfo.InvariantCulture);
}
