using LowRankQuant.Cli.Options;
using LowRankQuant.Formats.Peft;
using LowRankQuant.Models.Decoder.Layouts;
using LowRankQuant.Quantization.Methods;
using LowRankQuant.Quantization.Recipes;
using LowRankQuant.Quantization.Recipes.Files;
using LowRankQuant.Quantization.Recipes.Resolving;
using LowRankQuant.Runs;

namespace LowRankQuant.Cli.Commands;

/// <summary>What <c>--redo-blocks</c> asks for: blocks, and the recipe of the finished run in the output folder.</summary>
internal sealed class RedoSetup
{
    private RedoSetup(IReadOnlyList<int> blocks, RecipeDocument document) => (Blocks, Document) = (blocks, document);

    /// <summary>Numbers of the blocks, rising.</summary>
    public IReadOnlyList<int> Blocks { get; }

    /// <summary>The finished run's recipe.</summary>
    public RecipeDocument Document { get; }

    /// <summary>Reads it; null where it is not asked for.</summary>
    /// <exception cref="LowRankQuant.Quantization.Options.RecipeException">The output folder has no sound recipe.</exception>
    public static RedoSetup? Read(QuantizeOptions options, OptionReader reader, MethodCatalog catalog)
    {
        if (reader.Text(options.RedoBlocks) is not { } text) return null;
        if (BlockList.Parse(text) is not { } blocks)
        {
            reader.Problems.Add($"{options.RedoBlocks.Name} {text}: must be {BlockList.Form}.");
            return null;
        }
        if (reader.Text(options.Out) is not { } output) return null;
        if (!File.Exists(Path.Combine(output, RecipeSource.FileName)))
        {
            reader.Problems.Add($"{options.RedoBlocks.Name}: {output} holds no finished run ({RecipeSource.FileName} is missing); --out names the folder of one.");
            return null;
        }
        reader.Refuse($"does not apply beside {options.RedoBlocks.Name}: the recipe is that of the run", options.Recipe);
        reader.Refuse($"does not apply beside {options.RedoBlocks.Name}, which makes a whole result", options.Blocks);
        if (reader.Flag(options.Overwrite)) reader.Problems.Add($"{options.Overwrite.Name} deletes the run whose blocks {options.RedoBlocks.Name} does again; leave one of them out.");
        RecipeDocument document = RecipeSource.Read(output, catalog);
        if (document.Texts.Calibration.Count > 0 && reader.Texts(options.Calibration).Count > 0)
            reader.Problems.Add($"{options.Calibration.Name} does not apply beside {options.RedoBlocks.Name}: the run has its text.");
        return new RedoSetup(blocks, document);
    }

    /// <summary>The request of the run with its blocks done again.</summary>
    public RecipeRequest Join(RecipeRequest asked, ModelLayout layout, List<string> problems) => BlockRedo.Join(Document.Request, asked, Blocks, layout, problems);

    /// <summary>Says why a run's result does not hold what is kept.</summary>
    public static void Check(string? output, OutputFormat format, AdapterForm? form, List<string> problems)
    {
        if (format == OutputFormat.Dense) problems.Add($"--redo-blocks: {output} holds floats and no codes, so that no block can be kept; make the run again.");
        if (form is not (null or AdapterForm.Codes)) problems.Add($"--redo-blocks: {output} holds its branches as a PEFT adapter, not as they were found, so that no block can be kept; make the run again.");
    }
}
