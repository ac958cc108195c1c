using LowRankQuant.Evaluation;
using LowRankQuant.Evaluation.Tasks;
using LowRankQuant.Evaluation.Tasks.Data;
using LowRankQuant.Evaluation.Tasks.Definitions;
using LowRankQuant.Evaluation.Tasks.Results;
using LowRankQuant.Models.Decoder;
using LowRankQuant.Models.Decoder.Positions;
using LowRankQuant.Models.Tokenizers;
using LowRankQuant.Models.Tokenizers.HuggingFace;
using LowRankQuant.Numerics;
using LowRankQuant.Quantization.Calibration;

namespace LowRankQuant.Fuzz.Targets;

/// <summary>Rows of texts, of token ids, of tasks and of answered items, in every format that they are read from.</summary>
internal sealed class JsonLinesTarget : FuzzTarget
{
    private static readonly string[] Names = ["rows.jsonl", "rows.json", "rows.ids", "rows.txt", "rows.csv"];

    // Every task takes a file of its own name; all are the same input.
    private static readonly string[] TaskNames = ["boolq", "piqa", "hellaswag", "winogrande", "arc_easy", "arc_challenge", "openbookqa", "lambada_openai", "copa", "wsc273"];

    private static readonly DecoderConfig Config = new()
    {
        ModelType = "llama",
        HiddenSize = 64,
        Layers = 1,
        Heads = 4,
        KeyValueHeads = 4,
        HeadSize = 16,
        IntermediateSize = 128,
        VocabularySize = 256,
        MaxPositions = 64,
        NormEpsilon = 1e-5f,
        Activation = Activation.Silu,
        Rope = new RopeConfig { Theta = 10000, RotatedSize = 16, MaxPositions = 64, OriginalMaxPositions = 64 },
        TiedEmbeddings = true,
    };

    // Made when it is used: instrumented code cannot run before the fuzzer has given it its memory.
    private readonly Lazy<ITokenizer> _tokenizer = new(() => TokenizerJson.Load(new MemoryStream(
        """
        {"model": {"type": "BPE", "vocab": {"a": 0, "b": 1, "ab": 2, "<unk>": 3}, "merges": ["a b"], "unk_token": "<unk>"}}
        """u8.ToArray())));

    public override string Name => "jsonl";

    protected override void Read(byte[] input, Scratch scratch)
    {
        string[] paths = [.. Names.Select(name => scratch.Write(name, input))];
        string items = paths[0];
        Each(
            () => Calibrate(paths[0]),
            () => Calibrate(paths[1]),
            () => Calibrate(paths[2]),
            () => Calibrate(paths[3]),
            () => TaskFile.Rows(paths[0]),
            () => TaskFile.Rows(paths[4]),
            () => ItemFile.Read(items),
            () => _ = TextWindows.ReadIds(items, Config).ToArray());
        var data = new DataFolder(scratch.Folder);
        foreach (EvaluationTask task in TaskCatalog.BuiltIn) Each(() => Load(task, data, scratch, items));
    }

    private static void Load(EvaluationTask task, DataFolder data, Scratch scratch, string items)
    {
        if (!Directory.Exists(Path.Combine(scratch.Folder, "tasks")))
        {
            Directory.CreateDirectory(Path.Combine(scratch.Folder, "tasks"));
            foreach (string name in TaskNames) File.CreateSymbolicLink(Path.Combine(scratch.Folder, "tasks", $"{name}.jsonl"), items);
        }
        task.Load(data, new TaskSelection());
    }

    private void Calibrate(string path) => CalibrationLoader.Load(
        new CalibrationOptions { Sources = [path], Samples = 1, HeldOut = 1, MoreSamples = 4, SequenceLength = 8 }, _tokenizer.Value, Config);
}
