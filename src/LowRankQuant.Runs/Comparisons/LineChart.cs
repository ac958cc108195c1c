using System.Globalization;
using System.Security;
using System.Text;

namespace LowRankQuant.Runs.Comparisons;

/// <summary>A point of a line.</summary>
/// <param name="X">Along the chart.</param>
/// <param name="Y">The figure; above 0.</param>
/// <param name="Text">What hovering over it shows.</param>
internal readonly record struct ChartPoint(double X, double Y, string Text);

/// <summary>A line of a chart.</summary>
/// <param name="Name">Lines of one name have one colour and one place in the legend.</param>
/// <param name="Points">From left to right.</param>
/// <param name="IsDashed">Whether it is dashed.</param>
internal sealed record ChartLine(string Name, IReadOnlyList<ChartPoint> Points, bool IsDashed = false);

/// <summary>The axis along a chart.</summary>
/// <param name="Label">What it counts.</param>
/// <param name="Step">From tick to tick.</param>
/// <param name="Margin">Beside the outermost points.</param>
/// <param name="Format">Of its numbers.</param>
internal sealed record ChartAxis(string Label, double Step, double Margin, string Format);

/// <summary>Lines as SVG, the figure on a logarithmic scale. Hovering over a point names it.</summary>
internal static class LineChart
{
    private const int Width = 720, Height = 440, Left = 70, Right = 150, Top = 30, Bottom = 50;
    private static readonly string[] Colors = ["#4c78a8", "#f58518", "#54a24b", "#e45756", "#72b7b2", "#b279a2", "#9d755d", "#bab0ac", "#eeca3b", "#ff9da6"];

    /// <summary>Draws them.</summary>
    /// <param name="title">What is drawn.</param>
    /// <param name="axis">What it is drawn against.</param>
    /// <param name="lines">The lines; those without points are left out.</param>
    public static string Draw(string title, ChartAxis axis, IReadOnlyList<ChartLine> lines)
    {
        ChartPoint[] points = [.. lines.SelectMany(line => line.Points)];
        var svg = new StringBuilder();
        Line($"<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {Width} {Height}\" width=\"{Width}\" height=\"{Height}\" font-family=\"sans-serif\" font-size=\"12\" role=\"img\" aria-label=\"{SecurityElement.Escape(title)}\">");
        Line($"<rect width=\"100%\" height=\"100%\" fill=\"white\"/><text x=\"{Left}\" y=\"18\">{SecurityElement.Escape(title)}</text>");
        if (points.Length > 0) Plot();
        Line($"</svg>");
        return svg.ToString();

        void Plot()
        {
            double low = points.Min(point => point.X) - axis.Margin, high = points.Max(point => point.X) + axis.Margin;
            double least = Math.Log10(points.Min(point => point.Y)) - 0.05, most = Math.Log10(points.Max(point => point.Y)) + 0.05;
            double X(double along) => Left + ((along - low) / (high - low) * (Width - Left - Right));
            double Y(double figure) => Top + ((most - Math.Log10(figure)) / (most - least) * (Height - Top - Bottom));
            for (double tick = Math.Ceiling(low / axis.Step) * axis.Step; tick <= high; tick += axis.Step)
                Line($"<line x1=\"{X(tick):F1}\" y1=\"{Top}\" x2=\"{X(tick):F1}\" y2=\"{Height - Bottom}\" stroke=\"#ddd\"/><text x=\"{X(tick):F1}\" y=\"{Height - Bottom + 16}\" text-anchor=\"middle\">{tick.ToString(axis.Format, CultureInfo.InvariantCulture)}</text>");
            for (int power = (int)Math.Floor(least); power <= Math.Ceiling(most); power++)
            {
                foreach (int digit in new[] { 1, 2, 5 })
                {
                    double figure = digit * Math.Pow(10, power);
                    if (Math.Log10(figure) < least || Math.Log10(figure) > most) continue;
                    Line($"<line x1=\"{Left}\" y1=\"{Y(figure):F1}\" x2=\"{Width - Right}\" y2=\"{Y(figure):F1}\" stroke=\"#eee\"/><text x=\"{Left - 6}\" y=\"{Y(figure) + 4:F1}\" text-anchor=\"end\">{figure:G3}</text>");
                }
            }
            Line($"<text x=\"{(Left + Width - Right) / 2}\" y=\"{Height - 12}\" text-anchor=\"middle\">{SecurityElement.Escape(axis.Label)}</text>");
            int number = 0;
            foreach (var named in lines.Where(line => line.Points.Count > 0).GroupBy(line => line.Name))
            {
                string color = Colors[number % Colors.Length];
                foreach (ChartLine line in named)
                {
                    string path = string.Join(' ', line.Points.Select(point => string.Create(CultureInfo.InvariantCulture, $"{X(point.X):F1},{Y(point.Y):F1}"))), dashes = line.IsDashed ? " stroke-dasharray=\"6 4\"" : "";
                    Line($"<polyline points=\"{path}\" fill=\"none\" stroke=\"{color}\"{dashes}/>");
                    foreach (ChartPoint point in line.Points)
                        Line($"<circle cx=\"{X(point.X):F1}\" cy=\"{Y(point.Y):F1}\" r=\"{(line.IsDashed ? 2 : 4)}\" fill=\"{color}\"><title>{SecurityElement.Escape(point.Text)}</title></circle>");
                }
                Line($"<rect x=\"{Width - Right + 12}\" y=\"{Top + (number * 18)}\" width=\"10\" height=\"10\" fill=\"{color}\"/><text x=\"{Width - Right + 28}\" y=\"{Top + (number * 18) + 10}\">{SecurityElement.Escape(named.Key)}</text>");
                number++;
            }
        }

        void Line(FormattableString text) => svg.Append(text.ToString(CultureInfo.InvariantCulture)).Append('\n');
    }
}
