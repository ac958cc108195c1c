using System.CommandLine;
using System.CommandLine.Help;
using System.CommandLine.Invocation;

namespace LowRankQuant.Cli.Output;

/// <summary>The help of a command with examples at its end.</summary>
internal sealed class HelpExamples(HelpAction help) : SynchronousCommandLineAction
{
    // What a newcomer types first, for every command; all are tried by a test.
    private static readonly Dictionary<string, string[]> Examples = new(StringComparer.Ordinal)
    {
        ["quantize"] =
        [
            "lrq quantize demo --method lrq --bits 3 --out out/demo",
            "lrq quantize model.gguf --bits 4 --calibration train.txt --eval-text test.txt --eval-windows 16 --out out/w4",
            "lrq quantize Qwen/Qwen3-0.6B --bits 4 --calibration hf://datasets/org/name/train.jsonl --out out/w4",
            "lrq quantize Qwen/Qwen3-0.6B --bits 4 --to gguf --calibration c4 --out out/gguf",
            "lrq quantize model --method flrq+ --target-bits 2.6 --group-size 64 --calibration train.txt --out out/flrq",
        ],
        ["recipe"] = ["lrq recipe model --bits 3 --calibration train.txt", "lrq quantize model --recipe recipe.yaml --out out/w3"],
        ["methods"] = ["lrq methods lrq"],
        ["presets"] = ["lrq quantize model --recipe w4a16-lrq --calibration train.txt --out out/w4"],
        ["plan"] = ["lrq plan model --method lrq --grid q3_k --target llama.cpp --memory 8G --calibration train.txt"],
        ["eval"] =
        [
            "lrq eval out/w4 --reference model.gguf --text test.txt --windows 16",
            "lrq eval out/w4 --tasks boolq,piqa --data data --items w4.jsonl",
        ],
        ["correct"] = ["lrq correct out/w4 --reference model --target-bits 4.3 --calibration train.txt --out adapter"],
        ["compare-methods"] = ["lrq compare-methods model --methods rtn,flexround,lrq --schemes w4a16,w3a16 --calibration train.txt --eval-text test.txt --out out/methods"],
        ["sweep"] = ["lrq sweep model --method lrq --bits 3 --vary rank=1,16,256 --calibration train.txt --eval-text test.txt --out out/ranks"],
        ["report"] = ["lrq report out/w4", "lrq report out/w4 out/w3 --out compared.html", "lrq report out/w4 --tasks w4.jsonl --against full.jsonl"],
        ["compare"] = ["lrq compare w4.jsonl --against full.jsonl"],
        ["data"] = ["lrq data", "lrq data wikitext2", "lrq data texts/train.parquet --model model"],
        ["pull"] = ["lrq pull Qwen/Qwen3-0.6B", "lrq pull hf://datasets/org/name/train.jsonl"],
        ["inspect"] = ["lrq inspect out/w4", "lrq inspect model.gguf --tensors"],
        ["families"] = ["lrq families --json"],
        ["convert"] = ["lrq convert model.gguf --dtype bf16 --out out/hf", "lrq convert model-AWQ --to gptq --out out/gptq"],
        ["export"] = ["lrq export out/w4 --to gguf --out w4.gguf", "lrq export out/w4 --to gptq --out w4-gptq"],
        ["verify"] = ["lrq verify w4.gguf --against out/w4"],
        [""] = ["lrq quantize demo --method lrq --bits 3 --out out/demo", "lrq help quantize"],
    };

    private const string OneCommand =
        "export and convert are one command under two names. They read the same models and write the same files; export wants to be told --to, convert writes\nplain floats (--to dense) when it is not told. Say export for the result of a run that another engine shall load, convert for a model in another form.";

    private const string Others =
        "More options: 'lrq help COMMAND all' lists those for every method, 'lrq methods NAME' those of a method, 'lrq presets' where values come from that nobody gives.";

    private static readonly Dictionary<string, string> Notes = new(StringComparer.Ordinal)
    {
        ["quantize"] = Others,
        ["plan"] = Others,
        ["recipe"] = Others,
        ["compare-methods"] = Others,
        ["sweep"] = Others,
        ["convert"] = OneCommand,
        ["export"] = OneCommand,
        [""] = "'lrq help COMMAND' explains a command. Exit codes: 0 done, 1 the work failed, 2 the request was wrong, 130 stopped.",
    };

    /// <summary>All examples of all commands.</summary>
    public static IEnumerable<string> All => Examples.Values.SelectMany(lines => lines);

    /// <summary>Lets the help of a command line end in examples.</summary>
    public static void AddTo(RootCommand root)
    {
        foreach (HelpOption option in root.Options.OfType<HelpOption>()) option.Action = new HelpExamples((HelpAction)option.Action!);
    }

    /// <summary>Help is given however the rest of the line reads.</summary>
    public override bool ClearsParseErrors => true;

    public override int Invoke(ParseResult parseResult)
    {
        int code = help.Invoke(parseResult);
        TextWriter writer = parseResult.InvocationConfiguration.Output;
        Command command = parseResult.CommandResult.Command;
        string name = command is RootCommand ? "" : command.Name;
        if (!Examples.TryGetValue(name, out string[]? lines)) return code;
        if (Notes.TryGetValue(name, out string? note)) writer.WriteLine($"{note}\n");
        writer.WriteLine("Examples:");
        foreach (string line in lines) writer.WriteLine($"  {line}");
        writer.WriteLine();
        return code;
    }
}
